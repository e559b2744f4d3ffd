//! What is measured: each row of the table with everybody who takes part in it.

mod loading;
mod peers;
mod references;
mod row;
mod translation;
mod whisper;

pub use self::references::references;
pub use self::row::{Row, Target, Task};

/// All rows, for each of the numbers of threads; those of loading and memory once.
#[must_use]
pub fn rows(threads: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in threads {
        rows.extend(whisper::whisper_rows(*threads));
        rows.push(whisper::recording(*threads));
        rows.extend(translation::translation_rows(*threads));
    }
    rows.extend(loading::loading_rows());
    rows
}

#[cfg(test)]
mod tests;
