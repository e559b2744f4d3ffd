//! One instance and four of a translation model, where the quota is one and a half processors.

use std::path::Path;

use ostler_test_hub::models;
use serde_json::json;

use crate::Failure;
use crate::arguments::Arguments;
use crate::clients::{Seen, ask, translation};
use crate::row::Row;
use crate::sidecar::Sidecar;

const CLIENTS: usize = 4;
const LAYERS: usize = 6;
const PROCESSORS: f64 = 1.5;

pub(crate) async fn measure(arguments: &Arguments, scratch: &Path) -> Result<Vec<Row>, Failure> {
    let folder = models::write(&scratch.join("instances"), LAYERS)?;
    let mut seen: Vec<Seen> = Vec::new();
    for instances in [1, 4] {
        let model = json!({
            "name": "translation", "task": "translation", "load": "Preload", "instances": instances, "maxBatch": 1,
            "versions": [{"name": "v1", "storageUri": format!("file://{}", folder.display())}],
        });
        let sidecar = Sidecar::start(arguments, scratch, vec![model], "4Gi", Some(PROCESSORS)).await?;
        let url = sidecar.url("/translate");
        seen.push(ask(&url, CLIENTS, arguments.time(), |_, _| translation("translation")).await?);
    }
    let [one, four] = seen.as_slice() else { return Err("there are two figures".into()) };
    Ok(vec![Row {
        what: format!("4 clients, `instances: 4`, under a quota of {PROCESSORS} processors"),
        measured: format!("{:.1}/s, {}", four.per_second(), four.describe()),
        beside: format!(
            "`instances: 1`: {:.1}/s, {}; {:.2} of its throughput, 0.9 wanted",
            one.per_second(),
            one.describe(),
            four.per_second() / one.per_second()
        ),
    }])
}
