use std::str::FromStr;

use proptest::prelude::*;

use super::*;

mod fuzz;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn check<T: FromStr<Err = NameError> + fmt::Display>(accepted: &[&str], refused: &[&str]) {
    for text in accepted {
        assert_eq!(text.parse::<T>().unwrap().to_string(), *text);
    }
    for text in refused {
        let Err(error) = text.parse::<T>() else { panic!("{text:?} was accepted") };
        assert!(error.to_string().contains(" must be "), "{error}");
    }
}

#[test]
fn model_and_version_names_are_dns_labels() {
    let longest = "a".repeat(MAX_NAME_LENGTH);
    let too_long = "a".repeat(MAX_NAME_LENGTH + 1);
    let accepted = ["whisper", "v1", "1", "a-b", &longest];
    let refused = ["", "Whisper", "-a", "a-", "a_b", "a.b", "a b", "ä", &too_long];
    check::<ModelName>(&accepted, &refused);
    check::<VersionName>(&accepted, &refused);
}

#[test]
fn language_pairs_name_a_source_and_a_target() {
    check::<LanguagePair>(
        &["en-de", "zh-en", "en-roa", "pt_br-en", "eng-deu", "en_GB-de"],
        &["", "en", "en-", "-de", "e-de", "en-de-fr", "en/de", "en-seventeen_letters"],
    );
    let pair: LanguagePair = "pt_br-en".parse().unwrap();
    assert_eq!((pair.source(), pair.target()), ("pt_br", "en"));
}

#[test]
fn commits_are_forty_hexadecimal_digits() {
    check::<Commit>(&[COMMIT], &["", "main", &COMMIT[1..], &COMMIT.to_uppercase(), &format!("{COMMIT}0")]);
}

#[test]
fn repositories_have_an_owner_and_a_name() {
    let part = "a".repeat(97);
    check::<RepositoryId>(
        &["openai/whisper-base", "Helsinki-NLP/opus-mt-en-de", "a_b/c.d", "_/_"],
        &[
            "",
            "gpt2",
            "a/b/c",
            "/b",
            "a/",
            "-a/b",
            "a/b-",
            ".a/b",
            "a/b.",
            "a/b--c",
            "a/b..c",
            "../b",
            "a b/c",
            &format!("a/{part}"),
        ],
    );
    let repository: RepositoryId = "openai/whisper-base".parse().unwrap();
    assert_eq!((repository.owner(), repository.name()), ("openai", "whisper-base"));
}

#[test]
fn revisions_are_git_references() {
    let too_long = "a".repeat(129);
    check::<Revision>(
        &["main", "v1.0+cpu", "refs/pr/4", "a--b", COMMIT],
        &["", "-x", "a..b", "a//b", "/a", "a/", ".a", "a.", "a/.b", "a b", "a:b", "a~1", &too_long],
    );
    assert_eq!(Revision::main().as_commit(), None);
    let pinned: Revision = COMMIT.parse().unwrap();
    assert_eq!(pinned.as_commit().unwrap().as_str(), COMMIT);
}

#[test]
fn storage_uris_are_a_repository_or_a_folder() {
    let hub: StorageUri = "hf://openai/whisper-base".parse().unwrap();
    assert_eq!(hub.to_string(), "hf://openai/whisper-base:main");
    check::<StorageUri>(
        &["hf://openai/whisper-base:v1", "file:///models/whisper", "file:///a..b"],
        &[
            "",
            "openai/whisper",
            "hf://a",
            "hf://a/b:",
            "hf://a/b:c:d",
            "hf://a/{languagePair}",
            "https://a/b",
            "file://models",
            "file:///",
            "file:///a/../b",
            "file:///..",
            "file:///a\0b",
        ],
    );
}

#[test]
fn a_refused_value_is_named_and_cut() {
    let error = "X".repeat(5000).parse::<ModelName>().unwrap_err().to_string();
    assert!(error.contains("model name \"XXX") && error.len() < 300, "{error}");
}

#[test]
fn words_are_written_as_the_manifest_writes_them() {
    let text_tasks = [Task::Translation, Task::TextClassification];
    for task in [Task::AutomaticSpeechRecognition].into_iter().chain(text_tasks).chain(Task::EMBEDDING) {
        assert_eq!(json(&task), format!("{:?}", task.to_string()));
    }
    for dtype in [Dtype::Auto, Dtype::Float32, Dtype::Bfloat16, Dtype::Float16, Dtype::Int8] {
        assert_eq!(json(&dtype), format!("{:?}", dtype.to_string()));
    }
    assert_eq!(json(&LoadPolicy::Preload), "\"Preload\"");
    assert_eq!(LoadPolicy::default(), LoadPolicy::Lazy);
    assert_eq!(Dtype::default(), Dtype::Auto);
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

proptest! {
    #[test]
    fn whatever_parses_is_written_back_unchanged(text in "\\PC{0,80}") {
        if let Ok(name) = text.parse::<ModelName>() { prop_assert_eq!(name.as_str(), &text); }
        if let Ok(pair) = text.parse::<LanguagePair>() {
            prop_assert_eq!(format!("{}-{}", pair.source(), pair.target()), text.clone());
        }
        if let Ok(repository) = text.parse::<RepositoryId>() {
            prop_assert_eq!(format!("{}/{}", repository.owner(), repository.name()), text.clone());
        }
        if let Ok(revision) = text.parse::<Revision>() { prop_assert_eq!(revision.as_str(), &text); }
    }

    #[test]
    fn a_storage_uri_survives_a_round_trip(
        owner in "[A-Za-z0-9_]{1,20}",
        name in "[A-Za-z0-9_]{1,10}([-.][A-Za-z0-9_]{1,10}){0,4}",
        revision in "[A-Za-z0-9_]{1,10}([-./+][A-Za-z0-9_]{1,10}){0,4}",
        path in "(/[A-Za-z0-9_.-]{3,10}){1,5}",
    ) {
        for text in [format!("hf://{owner}/{name}:{revision}"), format!("hf://{owner}/{name}"), format!("file://{path}")] {
            if text.contains("..") { continue; }
            let uri: StorageUri = text.parse().unwrap();
            prop_assert_eq!(&uri.to_string().parse::<StorageUri>().unwrap(), &uri);
            let json = serde_json::to_string(&uri).unwrap();
            prop_assert_eq!(serde_json::from_str::<StorageUri>(&json).unwrap(), uri);
        }
    }

    #[test]
    fn a_weight_is_a_percentage(percent in any::<u8>()) {
        match Weight::try_from(percent) {
            Ok(weight) => prop_assert_eq!((weight.percent(), percent <= 100), (percent, true)),
            Err(error) => prop_assert!(percent > 100 && error.to_string().contains("0 to 100")),
        }
    }
}
