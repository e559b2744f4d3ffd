use std::collections::BTreeMap;

use super::*;

fn unpack(archive: impl Read) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), data)
        })
        .collect()
}

fn example(folder: &Path) -> Image {
    std::fs::create_dir_all(folder.join("models/a")).unwrap();
    std::fs::write(folder.join("program"), "binary").unwrap();
    std::fs::write(folder.join("models/a/config.json"), "{}").unwrap();
    std::fs::write(folder.join("models/b.txt"), "b").unwrap();
    let _ = std::os::unix::fs::symlink("b.txt", folder.join("models/link.txt"));
    Image {
        files: vec![
            (folder.join("program"), "/usr/bin/program".to_owned()),
            (folder.join("models"), "/models".to_owned()),
        ],
        entrypoint: vec!["/usr/bin/program".to_owned()],
        environment: vec!["A=b".to_owned()],
    }
}

#[test]
fn every_blob_has_the_digest_and_size_that_its_descriptor_says() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    let name =
        write(&example(folder.path()), |digest| format!("localhost/program:{digest}"), &archive).unwrap();

    let entries = unpack(File::open(&archive).unwrap());
    let blob = |descriptor: &Value| {
        let blob = &entries[&blob_path(descriptor["digest"].as_str().unwrap())];
        assert_eq!(digest(blob), descriptor["digest"].as_str().unwrap());
        assert_eq!(blob.len() as u64, descriptor["size"].as_u64().unwrap());
        blob.clone()
    };
    let index: Value = serde_json::from_slice(&entries["index.json"]).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], name.as_str());
    assert_eq!(index["manifests"][0]["digest"], name.replace("localhost/program", "sha256"));
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/program");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);

    let files = unpack(blob(&manifest["layers"][0]).as_slice());
    assert_eq!(files["usr/bin/program"], b"binary");
    assert_eq!(files["models/a/config.json"], b"{}");
    assert_eq!(files["models/link.txt"], b"b", "links are followed");
    assert!(files.contains_key("tmp/") && files.contains_key("etc/passwd"));
}

#[test]
fn the_same_content_gives_the_same_digest() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(&example(folder.path()), str::to_owned, &folder.path().join("1.tar")).unwrap();
    let again = tempfile::tempdir().unwrap();
    let second = write(&example(again.path()), str::to_owned, &again.path().join("2.tar")).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_missing_file_is_named_and_leaves_no_archive() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image { files: vec![(folder.path().join("absent"), "/x".to_owned())], ..Image::default() };
    let archive = folder.path().join("image.tar");
    let error = write(&image, str::to_owned, &archive).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
