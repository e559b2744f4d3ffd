//! Sixteen clients of one translation model: their requests worked on together, and each alone.

use std::path::Path;

use ostler_test_hub::models;
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments::Arguments;
use crate::clients::{ask, translation};
use crate::row::Row;
use crate::sidecar::Sidecar;

const CLIENTS: usize = 16;
/// As deep as opus-mt models.
const LAYERS: usize = 6;

pub(crate) async fn measure(arguments: &Arguments, scratch: &Path) -> Result<Vec<Row>, Failure> {
    let folder = models::write(&scratch.join("batching"), LAYERS)?;
    let model = |name: &str, fields: Value| {
        let mut model = json!({
            "name": name, "task": "translation", "load": "Preload",
            "versions": [{"name": "v1", "storageUri": format!("file://{}", folder.display())}],
        });
        if let (Some(model), Some(fields)) = (model.as_object_mut(), fields.as_object()) {
            model.extend(fields.clone());
        }
        model
    };
    let both = vec![model("together", json!({})), model("alone", json!({"maxBatch": 1}))];
    let sidecar = Sidecar::start(arguments, scratch, both, "4Gi", None).await?;
    let url = sidecar.url("/translate");
    let alone = ask(&url, CLIENTS, arguments.time(), |_, _| translation("alone")).await?;
    let together = ask(&url, CLIENTS, arguments.time(), |_, _| translation("together")).await?;
    let lone_alone = ask(&url, 1, arguments.time(), |_, _| translation("alone")).await?;
    let lone = ask(&url, 1, arguments.time(), |_, _| translation("together")).await?;
    let row = |what: &str, with: &crate::clients::Seen, without: &crate::clients::Seen| Row {
        what: what.to_owned(),
        measured: format!("{:.1}/s, {}", with.per_second(), with.describe()),
        beside: format!(
            "each alone: {:.1}/s, {}; {:.2} times",
            without.per_second(),
            without.describe(),
            with.per_second() / without.per_second()
        ),
    };
    Ok(vec![
        row("16 clients, one translation model, worked on together", &together, &alone),
        row("one client of the same", &lone, &lone_alone),
    ])
}
