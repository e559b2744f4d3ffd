//! The Ostler operator: ModelDeployments become pods with pinned models.
