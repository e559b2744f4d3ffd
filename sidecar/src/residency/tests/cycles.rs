//! Loads and evictions, over and over.

use std::time::Duration;

use super::super::Settings;
use super::world::{BUDGET, World, target};

const MODELS: [(&str, u64); 8] =
    [("a", 5), ("b", 8), ("c", 12), ("d", 16), ("e", 20), ("f", 25), ("g", 40), ("h", 60)];
const CYCLES: usize = 10_000;

/// Row 25: as many loads at once as fit, ten thousand times, in every order that chance brings: what they take together,
/// with what converting them takes for a while, never exceeds the budget. The world checks every effect beside that.
#[test]
fn row_25_ten_thousand_cycles_of_loads_at_once_stay_within_the_budget() {
    let settings = Settings {
        minimum_residency: Duration::ZERO,
        residency_per_load: 0,
        max_loads: MODELS.len(),
        max_transfers: MODELS.len(),
        max_waiters: 64,
        ..Settings::with_budget(BUDGET)
    };
    let mut world = World::with_settings(settings);
    world.apply(MODELS.iter().map(|(name, size)| target(name, *size, 1)).collect());
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let (mut loads, mut most_at_once, mut most_bytes) = (0, 0, 0);
    while loads < CYCLES {
        match draw(6) {
            0 if world.waiting.len() < 32 => {
                world.want(&[MODELS[draw(MODELS.len())].0]);
            }
            1 => {
                if let Some(entry) = world.preparing.keys().nth(draw(world.preparing.len())).copied() {
                    world.finish_prepare(entry, Ok(()));
                }
            }
            2 => {
                if let Some(entry) = world.loading.keys().nth(draw(world.loading.len())).copied() {
                    world.finish_load(entry, Ok(()));
                    loads += 1;
                }
            }
            3 => {
                if let Some(entry) = world.freeing.iter().nth(draw(world.freeing.len())).copied() {
                    world.finish_free(entry);
                }
            }
            4 => {
                if let Some(entry) = world.leases.get(draw(world.leases.len())).copied() {
                    world.release(entry);
                }
            }
            _ => world.pass(Duration::from_millis(100)),
        }
        most_at_once = most_at_once.max(world.loading.len());
        most_bytes = most_bytes.max(world.bytes_in_use());
        assert!(world.bytes_in_use() <= BUDGET.bytes, "{} bytes after {loads} loads", world.bytes_in_use());
    }
    assert!(
        most_at_once >= 3 && most_bytes > BUDGET.bytes * 9 / 10,
        "{most_at_once} at once, {most_bytes} bytes"
    );
}
