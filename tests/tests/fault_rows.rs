//! Holds the table of faults in `docs/faults.md` against the tests that carry their numbers.
#![expect(clippy::unwrap_used, reason = "functions that only tests call may fail like the tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The files that the table names for each fault.
fn table() -> BTreeMap<u32, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number = cells.next()?.parse().ok()?;
        let files = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned);
        Some((number, files.collect()))
    };
    text.lines().filter_map(row).collect()
}

/// The numbers of the faults that a test file speaks of: in the names of its tests, and in what is said of them.
fn numbers(text: &str) -> BTreeSet<u32> {
    let digits = |text: &str| -> Option<u32> {
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    let named = text.match_indices("fn row_").filter_map(|(place, name)| digits(&text[place + name.len()..]));
    let said = text.lines().filter_map(|line| line.trim_start().strip_prefix("/// Row"));
    let said = said.flat_map(|line| line.split(' ').take(4).filter_map(digits).collect::<Vec<_>>());
    named.chain(said).collect()
}

/// Every file of Rust below a folder, whatever is built aside.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_row_has_its_tests_and_every_test_with_a_number_its_row() {
    let (root, table) = (root(), table());
    assert!(table.len() >= 30, "{} rows were read", table.len());
    let mut faults = Vec::new();
    for (number, files) in &table {
        if files.is_empty() {
            faults.push(format!("row {number} names no test"));
        }
        for file in files {
            let text = fs::read_to_string(root.join(file)).unwrap_or_default();
            if !numbers(&text).contains(number) {
                faults.push(format!("row {number} names {file}, where no test carries the number"));
            }
        }
    }
    let mut files = Vec::new();
    for folder in ["sidecar", "operator", "crds"] {
        sources(&root.join(folder), &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        for (place, start) in text.match_indices("fn row_") {
            let digits: String =
                text[place + start.len()..].chars().take_while(char::is_ascii_digit).collect();
            let Ok(number) = digits.parse::<u32>() else { continue };
            if !table.get(&number).is_some_and(|files| files.contains(&name)) {
                faults.push(format!("row {number} does not name {name}"));
            }
        }
    }
    assert!(faults.is_empty(), "docs/faults.md:\n{}", faults.join("\n"));
}
