//! A model's weights in one piece of memory: measured first, then packed into it, or read into it as they were packed
//! before.

use std::path::Path;
use std::sync::Arc;

use ostler_kernels::Arena;

use super::cache::{Contents, Kept, Outcome, PackedPlace};
use super::pickle::PicklePolicy;
use super::safetensors::{Purpose, Usage, Weights};
use crate::error::LoadError;
use crate::processor::Processor;

/// Where a model's weights are, and what they are loaded with.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The folder of the files.
    pub folder: &'a Path,
    /// What happens with weights that are a pickle.
    pub pickle: &'a PicklePolicy,
    /// Whose kernels they are packed for, and whose threads pack them.
    pub processor: &'a Arc<Processor>,
    /// Where packed weights are kept, if they are.
    pub packed: Option<PackedPlace<'a>>,
    /// The part of the model, where it has weights in several folders: the folder's name.
    pub part: &'a str,
}

/// Puts together what `build` takes from weights. Tensors that it does not take must be `ignorable`.
///
/// It is called to measure first, and where the model is to run once more, the same way.
///
/// # Errors
/// Those of `build`, and where the files are not what their formats say, or there is no memory.
pub fn assemble<M>(
    source: &Source<'_>,
    purpose: Purpose,
    ignorable: impl Fn(&str) -> bool,
    build: impl Fn(&Weights) -> Result<M, LoadError>,
) -> Result<(M, Usage), LoadError> {
    let mut weights = Weights::open(source.folder, source.pickle, Purpose::Measure)?;
    let model = build(&weights)?;
    let mut usage = weights.finish(&ignorable)?;
    // Every thread reads into space of its own.
    usage.transient_bytes *= source.processor.team().threads() as u64;
    if purpose == Purpose::Measure {
        return Ok((model, usage));
    }
    drop(model);
    let (bytes, layout) = (weights.packed_bytes(), weights.layout());
    let contents = Contents { part: source.part, files: weights.contents(), layout };
    let kept = source.packed.map(|place| place.kept(source.processor, &contents));
    let (arena, outcome) = filled_arena(bytes, kept.as_ref(), source.processor)?;
    if outcome != Outcome::Present
        && let Some(place) = source.packed
    {
        (place.cache.check_files)().map_err(LoadError::Unverified)?;
    }
    weights.fill(arena, outcome == Outcome::Present, source.processor);
    let model = build(&weights)?;
    weights.finish(&ignorable)?;
    if weights.layout() != layout {
        let message = "the model was put together otherwise than it was measured";
        return Err(LoadError::Incompatible(message.to_owned()));
    }
    if outcome == Outcome::Absent
        && let Some(kept) = kept
        && let Some(arena) = weights.into_arena()
        && let Some(bytes) = arena.bytes()
    {
        kept.write(bytes);
    }
    Ok((model, usage))
}

/// An arena for so many bytes, with its contents where a copy of them was kept.
fn filled_arena(
    bytes: u64,
    kept: Option<&Kept<'_>>,
    processor: &Arc<Processor>,
) -> Result<(Arena, Outcome), LoadError> {
    let new = || Arena::new(bytes).map_err(|source| LoadError::Memory { bytes, source });
    let mut arena = new()?;
    let outcome = kept.map_or(Outcome::OutOfReach, |kept| kept.read(&mut arena, bytes, processor));
    if outcome != Outcome::Present {
        // A part of a copy may lie in it. It goes before there is another.
        drop(arena);
        arena = new()?;
    }
    Ok((arena, outcome))
}
