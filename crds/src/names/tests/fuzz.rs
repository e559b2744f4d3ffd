//! Texts from anywhere become names or an error: nothing else, whatever they hold.

use std::fmt::Display;
use std::path::{Component, Path};

use ostler_fuzz::Target;

use super::*;

/// The text that a name is written as, where it is one; it must mean the same name.
fn written<T: FromStr<Err = NameError> + Display + PartialEq>(text: &str, told: &mut String) -> Option<T> {
    match text.parse::<T>() {
        Ok(name) => {
            told.push('+');
            assert!(name.to_string().parse::<T>().is_ok_and(|again| again == name), "{text:?}");
            Some(name)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1_600 && !message.chars().any(char::is_control), "{message}");
            told.push('-');
            None
        }
    }
}

/// Whether a text is one step down from a folder.
fn is_one_step(text: &str) -> bool {
    let mut steps = Path::new(text).components();
    matches!((steps.next(), steps.next()), (Some(Component::Normal(step)), None) if step == text)
}

fn check_names(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
    let mut told = String::new();
    let one_step = |name: Option<String>| assert!(name.is_none_or(|name| is_one_step(&name)), "{text:?}");
    one_step(written::<ModelName>(text, &mut told).map(String::from));
    one_step(written::<VersionName>(text, &mut told).map(String::from));
    one_step(written::<LanguagePair>(text, &mut told).map(String::from));
    one_step(written::<Commit>(text, &mut told).map(String::from));
    let repository = written::<RepositoryId>(text, &mut told);
    one_step(repository.map(|repository| format!("{}--{}", repository.owner(), repository.name())));
    if let Some(revision) = written::<Revision>(text, &mut told) {
        assert!(revision.as_str().split('/').all(is_one_step), "{text:?}");
    }
    match written::<StorageUri>(text, &mut told) {
        Some(StorageUri::File { path }) => {
            assert!(path.starts_with('/') && path.len() > 1, "{text:?}");
            let steps = Path::new(&path).components();
            assert!(steps.skip(1).all(|step| matches!(step, Component::Normal(_))), "{text:?}");
        }
        Some(uri) => {
            let json = serde_json::to_string(&uri).unwrap();
            assert_eq!(serde_json::from_str::<StorageUri>(&json).unwrap(), uri);
        }
        None => {}
    }
    told
}

/// Row 60 among the rest: names that would leave a folder. What is a name is written as a text that is the same name.
#[test]
fn row_60_whatever_is_a_name_is_written_as_the_same_one() {
    ostler_fuzz::run!(Target {
        tokens: &[
            b"hf://",
            b"file://",
            b"{languagePair}",
            b":",
            b"/",
            b"..",
            b"/../",
            b"./",
            b"--",
            b"-",
            b".",
            b"\\",
            b"%2e%2e",
            b"\0",
            b"main",
            b"refs/pr/1",
            b"0123456789abcdef0123456789abcdef01234567",
        ],
        longest: 1_200,
        inputs: 40_000,
        ..Target::new("names", check_names)
    });
}
