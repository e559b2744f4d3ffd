//! The cache shared with Python's `huggingface_hub` itself: what either fetched, the other finds.

use std::path::{Path, PathBuf};
use std::process::Command;

use ostler_test_hub::Part;

use crate::support::*;

/// The version that the layout was last compared with.
const PACKAGE: &str = "huggingface_hub==2.4.0";

const SNAPSHOT: &str = "
import sys
from huggingface_hub import snapshot_download
print(snapshot_download('tiny/model', revision=sys.argv[1], cache_dir=sys.argv[2], local_files_only=sys.argv[3] == 'local'))
";

/// A Python with the package, made once and kept in the build folder.
fn python() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE.replace("==", "-"));
    let python = environment.join("bin/python");
    let has_package = || run(Command::new(&python).args(["-c", "import huggingface_hub"])).is_ok();
    if !has_package() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).unwrap();
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE])).unwrap();
    }
    python
}

/// What a program printed, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

async fn snapshot(bench: &Bench, source: &'static str) -> PathBuf {
    let (endpoint, root, commit) =
        (bench.hub.endpoint(), bench.cache.root().to_owned(), bench.commit.to_string());
    let printed = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python());
        command.args(["-c", SNAPSHOT, &commit]).arg(root).arg(source);
        command
            .env("HF_ENDPOINT", endpoint)
            .env("HF_HUB_DISABLE_TELEMETRY", "1")
            .env("HF_HUB_DISABLE_PROGRESS_BARS", "1");
        command.env_remove("HF_TOKEN").env("NO_PROXY", "127.0.0.1");
        run(&mut command).unwrap()
    });
    printed.await.unwrap().into()
}

/// Requests whose answers carried a file.
fn transfers(bench: &Bench) -> usize {
    let is_transfer = |request: &&ostler_test_hub::LoggedRequest| {
        request.method == "GET" && matches!(request.part, Part::Resolve | Part::Storage)
    };
    bench.hub.requests().iter().filter(is_transfer).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_finds_what_the_other_fetched() {
    let bench = bench().await;
    let folder = snapshot(&bench, "hub").await;
    assert!(transfers(&bench) > 0);
    bench.hub.forget_requests();
    let found = bench.fetch().await.unwrap();
    assert_whole(&found);
    assert_eq!((found.folder, transfers(&bench)), (folder.clone(), 0));

    bench.empty();
    let fetched = bench.fetch().await.unwrap();
    bench.hub.forget_requests();
    assert_eq!(snapshot(&bench, "local").await, fetched.folder);
    assert!(bench.hub.requests().is_empty());
    assert_eq!(snapshot(&bench, "hub").await, fetched.folder);
    assert_eq!(transfers(&bench), 0);
    assert_whole(&fetched);
}
