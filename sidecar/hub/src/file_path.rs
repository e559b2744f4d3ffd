//! Which file names of a repository are safe to use below a folder.

/// The longest path in bytes, and the longest part of one: what Linux file systems take.
const MAX_PATH_LENGTH: usize = 1024;
const MAX_PART_LENGTH: usize = 255;

/// A file name that would leave its folder, or that no file system takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file name {path:?} {problem}")]
pub struct UnsafePath {
    path: String,
    problem: &'static str,
}

/// Checks that a repository's file name, joined to a folder, names a file below that folder.
///
/// # Errors
/// Where the name is empty, absolute, too long, holds a part `.` or `..`, an empty part, a backslash or a control
/// character.
pub fn check_file_path(path: &str) -> Result<(), UnsafePath> {
    match problem_of(path) {
        None => Ok(()),
        Some(problem) => Err(UnsafePath { path: path.chars().take(128).collect(), problem }),
    }
}

fn problem_of(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.len() > MAX_PATH_LENGTH {
        return Some("is longer than 1024 bytes");
    }
    if path.chars().any(|character| character.is_control() || character == '\\') {
        return Some("holds a backslash or a control character");
    }
    for part in path.split('/') {
        match part {
            "" => return Some("is absolute or has an empty part"),
            "." | ".." => return Some("has a part that is \".\" or \"..\""),
            _ if part.len() > MAX_PART_LENGTH => return Some("has a part longer than 255 bytes"),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_folder_are_allowed() {
        for path in
            ["config.json", "a/b/c.safetensors", ".gitattributes", "..a/b..", "ünïcode name.bin", "a:b"]
        {
            assert_eq!(check_file_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        let long = "a".repeat(256);
        let longer = "a/".repeat(600) + "a";
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../a",
            "a/../../b",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "a\\..\\b",
            "a\0b",
            "a\nb",
            &long,
            &longer,
        ] {
            assert!(check_file_path(path).is_err(), "{path}");
        }
    }
}
