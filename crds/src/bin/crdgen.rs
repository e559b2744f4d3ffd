//! Writes the custom resource definitions as YAML into a folder: the first argument, or `crds/generated`.

use std::error::Error;
use std::path::PathBuf;

use ostler_crds::definitions::{definitions, file_name, to_yaml};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/generated")), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for definition in definitions() {
        std::fs::write(folder.join(file_name(&definition)), to_yaml(&definition)?)?;
    }
    Ok(())
}
