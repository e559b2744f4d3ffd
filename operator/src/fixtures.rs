//! Chainable builders of what the tests need.
