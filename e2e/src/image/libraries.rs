//! The shared libraries that a program needs beside it in an image.

use std::path::{Path, PathBuf};

use crate::command::{CommandError, output};

/// Every shared library that the program loads, and the loader itself, by the paths that they are looked up under.
/// Empty for a static program.
///
/// # Errors
/// [`CommandError`] when `ldd` is missing or does not know the file.
pub fn needed_by(program: &Path) -> Result<Vec<PathBuf>, CommandError> {
    match output("ldd", &[program]) {
        Ok(listing) => Ok(parse(&listing)),
        Err(CommandError::Failed { stderr, .. }) if stderr.contains("not a dynamic executable") => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Reads the output of `ldd`: `libc.so.6 => /lib/libc.so.6 (0x...)`, or the loader's `/lib64/ld.so (0x...)`. The
/// kernel's own `linux-vdso` has no file.
fn parse(listing: &str) -> Vec<PathBuf> {
    listing
        .lines()
        .filter_map(|line| {
            let path = line.split_once("=>").map_or(line, |(_, path)| path).split_whitespace().next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let listing = "\tlinux-vdso.so.1 (0x00007fff)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tstatically linked\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(parse(listing), expected);
    }

    #[test]
    fn this_very_test_needs_the_c_library() {
        let libraries = needed_by(&std::env::current_exe().unwrap()).unwrap();
        assert!(libraries.iter().any(|path| path.to_string_lossy().contains("libc.so")), "{libraries:?}");
    }
}
