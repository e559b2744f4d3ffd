//! A hub for tests and the demo that serves repositories from folders as huggingface.co does.
