//! The Ostler sidecar: fetches, verifies, loads, evicts and serves the models of one pod.
