//! The demo, as `make demo` runs it.

use ostler_e2e::demo;

use crate::world::Space;

/// Cluster, chart, models, progress until Ready, a transcript, a translation, a change of version without a restart:
/// the demo itself fails where an answer is not what it shows.
pub(crate) fn the_demo_goes_all_the_way(space: &Space<'_>) {
    let result = demo::run(&space.world.state, &space.world.programs);
    if result.is_err() {
        let default = Space { world: space.world, name: "default".to_owned() };
        default.diagnose();
        std::mem::forget(default);
    }
    result.unwrap_or_else(|error| panic!("{error}"));
    space.world.access.kubectl(&["delete", "mdep", "video-translation", "--wait"]).unwrap();
}
