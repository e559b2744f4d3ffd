//! Looks at the memory that is really there, once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::command::Command;
use crate::memory_watch::MemoryWatch;

/// How often the memory that is really there is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the task of the memory that is really there, until the task has ended.
pub(super) async fn measure_memory(memory_watch: MemoryWatch, commands: mpsc::WeakUnboundedSender<Command>) {
    let memory_watch = Arc::new(memory_watch);
    let mut interval = tokio::time::interval(MEASURE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let memory_watch = Arc::clone(&memory_watch);
        // The kernel adds some of the figures up while they are read, which takes a while on a large machine.
        let measured = tokio::task::spawn_blocking(move || memory_watch.measure()).await;
        let Some(commands) = commands.upgrade() else { return };
        if let Ok(Some(memory)) = measured {
            let _ = commands.send(Command::Measured(memory));
        }
    }
}
