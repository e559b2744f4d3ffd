//! Writes images as OCI archives, which `ctr images import`, `skopeo` and `podman load` read, without a container
//! engine.
//!
//! Format: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>.

pub mod libraries;

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header, HeaderMode};

/// The user that images run as: the number that distroless images call `nonroot`.
pub const NON_ROOT: u32 = 65532;

/// What an image holds and how it starts.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Files and folders, each with its absolute path in the image. Links are followed; folders are taken whole.
    pub files: Vec<(PathBuf, String)>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Environment variables as `NAME=VALUE`.
    pub environment: Vec<String>,
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file could not go in.
    #[error("{} could not be added to the image", path.display())]
    Add {
        /// The file on this machine.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("the image archive {} could not be written", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
}

/// Writes the archive and answers the image's name, which `name` makes of the hexadecimal digest of its manifest. The
/// same content gives the same digest: no time, owner or order of a folder listing goes in. Nothing stays under
/// `archive` after a failure.
///
/// # Errors
/// [`ImageError`] with the file that could not be read or written.
pub fn write(image: &Image, name: impl FnOnce(&str) -> String, archive: &Path) -> Result<String, ImageError> {
    let failed = |source| ImageError::Write { path: archive.to_owned(), source };
    let folder = archive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut layer = tempfile::tempfile_in(folder).map_err(failed)?;
    let layer_descriptor = write_layer(image, &mut layer, archive)?;
    let layer_digest = layer_descriptor["digest"].clone();

    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": image.entrypoint,
            "Env": image.environment,
            "User": format!("{NON_ROOT}:{NON_ROOT}"),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &digest(config.as_bytes()), config.len() as u64),
        "layers": [layer_descriptor],
    })
    .to_string();
    let manifest_digest = digest(manifest.as_bytes());
    let name = name(manifest_digest.trim_start_matches("sha256:"));
    let mut entry = descriptor("manifest.v1+json", &manifest_digest, manifest.len() as u64);
    entry["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rsplit_once(':').map_or("latest", |(_, tag)| tag),
    });
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

    let output = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut builder = Builder::new(BufWriter::new(output.as_file()));
    let mut put =
        |path: &str, data: &[u8]| append(&mut builder, path, data.len() as u64, data).map_err(failed);
    put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put("index.json", index.as_bytes())?;
    put(&blob_path(&digest(config.as_bytes())), config.as_bytes())?;
    put(&blob_path(&manifest_digest), manifest.as_bytes())?;
    let size = layer.seek(SeekFrom::End(0)).map_err(failed)?;
    layer.seek(SeekFrom::Start(0)).map_err(failed)?;
    append(&mut builder, &blob_path(layer_digest.as_str().unwrap_or_default()), size, &layer)
        .map_err(failed)?;
    builder.into_inner().and_then(|mut writer| writer.flush()).map_err(failed)?;
    output.persist(archive).map_err(|error| failed(error.error))?;
    Ok(name)
}

/// Writes the only layer and answers its descriptor.
fn write_layer(image: &Image, layer: &mut File, archive: &Path) -> Result<Value, ImageError> {
    let failed = |source| ImageError::Write { path: archive.to_owned(), source };
    let mut builder = Builder::new(BufWriter::new(Hashing { inner: layer, hash: Sha256::new(), size: 0 }));
    builder.mode(HeaderMode::Deterministic);
    for (folder, mode) in [("tmp", 0o1777), ("etc", 0o755)] {
        append_folder(&mut builder, folder, mode).map_err(failed)?;
    }
    for (path, text) in [("etc/passwd", passwd()), ("etc/group", group())] {
        append(&mut builder, path, text.len() as u64, text.as_bytes()).map_err(failed)?;
    }
    for (source, path) in &image.files {
        let path = Path::new(path.trim_start_matches('/'));
        add(&mut builder, source, path)
            .map_err(|error| ImageError::Add { path: source.clone(), source: error })?;
    }
    let mut writer = builder.into_inner().map_err(failed)?;
    writer.flush().map_err(failed)?;
    let hashing = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    let digest = format!("sha256:{}", hex::encode(hashing.hash.finalize()));
    Ok(descriptor("layer.v1.tar", &digest, hashing.size))
}

/// Adds a file, or a folder with everything in it, in the order of names.
fn add<W: Write>(builder: &mut Builder<W>, source: &Path, path: &Path) -> io::Result<()> {
    if !source.metadata()?.is_dir() {
        return builder.append_path_with_name(source, path);
    }
    let mut children =
        source.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    children.sort();
    for child in children {
        let name = child.file_name().map(|name| path.join(name)).unwrap_or_else(|| path.to_owned());
        add(builder, &child, &name)?;
    }
    Ok(())
}

fn append<W: Write>(builder: &mut Builder<W>, path: &str, size: u64, data: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    builder.append_data(&mut header, path, data)
}

fn append_folder<W: Write>(builder: &mut Builder<W>, path: &str, mode: u32) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    builder.append_data(&mut header, format!("{path}/"), io::empty())
}

fn passwd() -> String {
    format!(
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{NON_ROOT}:{NON_ROOT}:nonroot:/tmp:/sbin/nologin\n"
    )
}

fn group() -> String {
    format!("root:x:0:\nnonroot:x:{NON_ROOT}:\n")
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn descriptor(kind: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size})
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The name that OCI gives this machine's processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Passes bytes on and hashes them on the way.
struct Hashing<'a> {
    inner: &'a mut File,
    hash: Sha256,
    size: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
