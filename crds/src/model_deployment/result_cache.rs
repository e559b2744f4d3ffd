//! Answers that are kept, so that the same request is not computed twice.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::QuantityText;

/// How many answers of a model each pod keeps, and for how long.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultCacheSpec {
    /// The most answers, 1 to 1000000. The least recently used go first.
    #[serde(default = "default_max_entries")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000000")
        .message("resultCache.maxEntries must be from 1 to 1000000"))]
    pub max_entries: i32,
    /// The most memory that they take together, such as `64Mi`. It is set aside of `memory.host`, of which the caches
    /// of all models may take half.
    #[serde(default = "default_max_bytes")]
    #[schemars(with = "QuantityText")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("resultCache.maxBytes must be a quantity of bytes above 0, such as 64Mi"))]
    pub max_bytes: Quantity,
    /// How long an answer is kept after it was computed, 1 to 31536000 seconds.
    #[serde(default = "default_time_to_live_seconds")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 31536000")
        .message("resultCache.timeToLiveSeconds must be from 1 to 31536000 (a year)"))]
    pub time_to_live_seconds: i32,
}

fn default_max_entries() -> i32 {
    1000
}

fn default_max_bytes() -> Quantity {
    Quantity("64Mi".to_owned())
}

fn default_time_to_live_seconds() -> i32 {
    3600
}
