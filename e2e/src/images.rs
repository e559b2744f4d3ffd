//! The project's own images, packed from the programs that `cargo` built.

use std::path::{Path, PathBuf};

use crate::command::{CommandError, output};
use crate::image::{self, Image, ImageError, libraries};

/// The folder with the models that the hub in the cluster serves, as ORGANISATION/NAME.
const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hub");
/// The authorities that TLS trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// One of the project's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The operator.
    Operator,
    /// The sidecar.
    Sidecar,
    /// The hub for tests and the demo, with the models of `examples`.
    Hub,
}

/// The references of all images, as pods name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The operator's.
    pub operator: String,
    /// The sidecar's.
    pub sidecar: String,
    /// The hub's.
    pub hub: String,
}

/// Why an image could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The program has not been built.
    #[error("{} is missing: run `cargo build` first", program.display())]
    NotBuilt {
        /// The program.
        program: PathBuf,
    },
    /// The program's libraries could not be listed, or its debug information not be left out.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The archive could not be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No folder for the work could be made.
    #[error("no temporary folder could be made")]
    Temporary(#[source] std::io::Error),
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Sidecar, Self::Hub];

    /// The program that it runs.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Operator => "ostler-operator",
            Self::Sidecar => "ostler-sidecar",
            Self::Hub => "ostler-test-hub",
        }
    }

    /// Packs the program out of the folder of built programs, with the libraries that it needs, and answers the
    /// image's name: `localhost/PROGRAM:DIGEST`, so that a changed program is another image.
    ///
    /// # Errors
    /// [`ImagesError::NotBuilt`] when the program is not there, or what went wrong with its files.
    pub fn pack(self, programs: &Path, archive: &Path) -> Result<String, ImagesError> {
        let name = self.program();
        let program = programs.join(name);
        if !program.is_file() {
            return Err(ImagesError::NotBuilt { program });
        }
        let folder = tempfile::tempdir().map_err(ImagesError::Temporary)?;
        let stripped = folder.path().join(name);
        output(
            "strip",
            &["--strip-debug".as_ref(), "-o".as_ref(), stripped.as_os_str(), program.as_os_str()],
        )?;

        let path = format!("/usr/bin/{name}");
        let mut files = vec![(stripped, path.clone())];
        for library in libraries::needed_by(&program)? {
            let place = library.to_string_lossy().into_owned();
            files.push((library, place));
        }
        let mut entrypoint = vec![path];
        match self {
            Self::Hub => {
                files.push((MODELS.into(), "/models".to_owned()));
                entrypoint.push("--root=/models".to_owned());
            }
            Self::Operator | Self::Sidecar => files.push((AUTHORITIES.into(), AUTHORITIES.to_owned())),
        }
        let image = Image { files, entrypoint, environment: Vec::new() };
        let reference = |digest: &str| format!("localhost/{name}:{}", digest.get(..12).unwrap_or(digest));
        Ok(image::write(&image, reference, archive)?)
    }
}

impl Images {
    /// The images that an existing cluster pulls, as `OSTLER_E2E_REGISTRY` and `OSTLER_E2E_TAG` say.
    #[must_use]
    pub fn in_registry() -> Self {
        let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let prefix = setting("OSTLER_E2E_REGISTRY", "ghcr.io/ostler-dev");
        let tag = setting("OSTLER_E2E_TAG", env!("CARGO_PKG_VERSION"));
        let reference = |part: Part| format!("{}/{}:{tag}", prefix.trim_end_matches('/'), part.program());
        Self {
            operator: reference(Part::Operator),
            sidecar: reference(Part::Sidecar),
            hub: reference(Part::Hub),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_not_built_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Part::Sidecar.pack(folder.path(), &folder.path().join("image.tar")).unwrap_err();
        assert!(error.to_string().contains("ostler-sidecar"), "{error}");
    }

    #[test]
    fn a_built_program_becomes_an_image_named_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), folder.path().join("ostler-test-hub")).unwrap();
        let archive = folder.path().join("image.tar");
        let name = Part::Hub.pack(folder.path(), &archive).unwrap();
        assert!(name.starts_with("localhost/ostler-test-hub:") && archive.is_file(), "{name}");
        assert_eq!(name, Part::Hub.pack(folder.path(), &archive).unwrap());
    }
}
