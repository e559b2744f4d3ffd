//! What must happen when something breaks, shown on the real program: `ostler-sidecar serve` in a process of its own,
//! real weights, real sockets. `docs/faults.md` lists the faults by number; a test carries the number of its row.
//!
//! Some tests are longer where `OSTLER_SOAK` is set, as `make soak` does.
#![expect(clippy::unwrap_used, reason = "what goes wrong here must fail the test that it goes wrong in")]
#![expect(clippy::print_stdout, reason = "what cannot be shown on a machine is said")]

mod audio;
mod broken_weights;
mod cgroup;
mod clients_gone;
mod clips;
mod connections;
mod eviction;
mod flood;
mod log;
mod memory;
mod overshoot;
mod process;
mod thrash;

/// Whether there is time for the long forms.
fn is_soak() -> bool {
    std::env::var_os("OSTLER_SOAK").is_some()
}
