//! Which models are served: names, tasks, versions, traffic.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::result_cache::ResultCacheSpec;
use crate::names::{Dtype, LoadPolicy, LongForm, Task};
use crate::quantity::QuantityText;

/// One model: a name that clients ask for, and its versions.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.versions.size() < 2 || has(self.defaultVersion)")
        .message("defaultVersion is needed from two versions on: name the version that takes what the weights leave of 100"),
    validation = Rule::new("!has(self.defaultVersion) || self.versions.exists(version, version.name == self.defaultVersion)")
        .message("defaultVersion must be the name of one of this model's versions"),
    validation = Rule::new("self.versions.map(version, self.versions.size() == 1 || (has(self.defaultVersion) && version.name == self.defaultVersion) ? 0 : version.weight).sum() <= 100")
        .message("weights of the versions beside the default one must add up to at most 100: lower some of them"),
    validation = Rule::new("self.versions.all(version, version.weight == 0 || !(self.versions.size() == 1 || (has(self.defaultVersion) && version.name == self.defaultVersion)) || version.weight == 100 - self.versions.map(other, other.name == version.name ? 0 : other.weight).sum())")
        .message("weight of the default version is what the other versions leave of 100: leave it out, or write exactly that"),
    validation = Rule::new("!has(self.fallback) || self.fallback.all(name, self.versions.exists(version, version.name == name))")
        .message("fallback must hold names of this model's versions only"),
    validation = Rule::new("(has(self.languagePairs) && self.languagePairs.size() > 0) || !self.versions.exists(version, version.storageUri.contains('{languagePair}'))")
        .message("storageUri with {languagePair} needs languagePairs: list the pairs, such as [en-de, de-en], or write one repository's name"),
    validation = Rule::new("!has(self.languagePairs) || self.languagePairs.size() == 0 || self.task == 'translation'")
        .message("languagePairs is for models of task translation: leave it out"),
    validation = Rule::new("!has(self.longForm) || self.task == 'automatic-speech-recognition'")
        .message("longForm is for models of task automatic-speech-recognition: leave it out"),
    validation = Rule::new("(!has(self.maxBatch) && !has(self.maxDelayMilliseconds)) || self.task != 'automatic-speech-recognition'")
        .message("maxBatch and maxDelayMilliseconds are for models that read texts: leave them out")
)]
pub struct ModelSpec {
    /// The name that clients ask for, such as `whisper`: lower-case letters, digits and `-`, at most 63.
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("name of a model must be lower-case letters, digits and '-', and must begin and end with a letter or digit, such as whisper"))]
    pub name: String,
    /// What the model does, as a Hugging Face pipeline tag: `automatic-speech-recognition` (speech to text),
    /// `translation` (text to text in another language), `text-classification` (text to a label, such as its
    /// language), or `feature-extraction` and `sentence-similarity`, which both mean text to a vector that is compared
    /// with others. It cannot change under one name.
    pub task: Task,
    /// When the versions are loaded: `Preload` before the pod becomes ready, `Lazy` when the first request asks.
    #[serde(default)]
    pub load: LoadPolicy,
    /// Never evict this model once it is loaded. Other models are evicted in its stead when memory runs short.
    #[serde(default)]
    pub keep: bool,
    /// Requests worked on at once in each pod, 1 to 64. Each one more needs working memory of its own.
    #[serde(default = "default_instances")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 64")
        .message("instances must be from 1 to 64"))]
    pub instances: i32,
    /// The most texts of requests that the model works on as one while others wait, 1 to 256, by default 16; 1 works on
    /// each request alone. No answer changes by it. For models that read texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 256")
        .message("maxBatch must be from 1 to 256; leave it out for 16"))]
    pub max_batch: Option<i32>,
    /// How many milliseconds a request that could be worked on waits for others to come along, 0 to 1000, by default 2.
    /// Only requests that follow others which were worked on together wait. For models that read texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000")
        .message("maxDelayMilliseconds must be from 0 to 1000; leave it out for 2"))]
    pub max_delay_milliseconds: Option<i32>,
    /// The most memory that all versions and language pairs of this model take together, such as `3Gi`. Within it the
    /// least recently used are evicted for others of the same model; a version that takes more alone fails as `TooLarge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<QuantityText>")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("memoryLimit must be a quantity of bytes above 0, such as 3Gi; leave it out for no limit but memory.host"))]
    pub memory_limit: Option<Quantity>,
    /// Unload a version that nobody has used for so many seconds, 1 to 31536000, `keep` or not; the next request loads
    /// it again. Without it a version stays until others need its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 31536000")
        .message("idleSeconds must be from 1 to 31536000 (a year); leave it out to keep versions until memory runs short"))]
    pub idle_seconds: Option<i32>,
    /// How many earlier commits of each version, and of each language pair of it, clients can still ask for, as in
    /// `whisper@COMMIT`: 0 to 8. A commit that a version has left is loaded when somebody asks for it and evicted like any
    /// other version, but never preloaded and never kept. It goes when `history` is lowered or its version is removed.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 8")
        .message("history must be from 0 to 8"))]
    pub history: i32,
    /// Keep answers, and give them again to equal requests instead of computing them. Off without it; `{}` takes 1000
    /// answers, 64Mi and an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_cache: Option<ResultCacheSpec>,
    /// Language pairs, such as `en-de`, at most 64. Each in turn replaces `{languagePair}` in `storageUri`, and is
    /// loaded and evicted by itself. A version without that placeholder has one set of files for every pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 33)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(pair, pair.matches('^[A-Za-z0-9_]{2,16}-[A-Za-z0-9_]{2,16}$'))")
            .message("languagePairs must be SOURCE-TARGET each, such as en-de")
    )]
    pub language_pairs: Vec<String>,
    /// How speech of more than 30 s is worked on where a request does not say: `sequential`, window after window as
    /// transformers does it, which is the default; or `batched`, cut in its pauses and several windows at once, for
    /// more text a second. For models of task `automatic-speech-recognition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_form: Option<LongForm>,
    /// The version for requests that ask for none. It takes what the weights of the others leave of 100. Needed from
    /// two versions on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub default_version: Option<String>,
    /// The versions of this model, at most 8. Each is pinned to the commit that its revision names at first, until
    /// `storageUri` or the annotation `ostler.dev/repin` changes.
    #[schemars(length(max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.size() > 0")
            .message("versions must hold at least one version")
    )]
    pub versions: Vec<VersionSpec>,
    /// Names of versions that serve instead, tried in order, when the chosen version cannot be loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub fallback: Vec<String>,
}

fn default_instances() -> i32 {
    1
}

/// One version of a model.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionSpec {
    /// The name, such as `v1`: lower-case letters, digits and `-`, at most 63. Clients may ask for it, as in
    /// `whisper@v1`.
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("name of a version must be lower-case letters, digits and '-', and must begin and end with a letter or digit, such as v1"))]
    pub name: String,
    /// Where the files come from: `hf://ORGANISATION/REPOSITORY[:REVISION]`, a repository of the Hub at a branch, tag
    /// or commit (default `main`); or `file:///PATH`, a folder in a volume of the template. `{languagePair}` stands
    /// for each of the model's language pairs.
    #[schemars(length(max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^(file:///.+|hf://([A-Za-z0-9_]|[{]languagePair[}])(([A-Za-z0-9_.-]|[{]languagePair[}]){0,94}([A-Za-z0-9_]|[{]languagePair[}]))?/([A-Za-z0-9_]|[{]languagePair[}])(([A-Za-z0-9_.-]|[{]languagePair[}]){0,94}([A-Za-z0-9_]|[{]languagePair[}]))?(:([A-Za-z0-9_+]|[{]languagePair[}])(([A-Za-z0-9_+./-]|[{]languagePair[}]){0,126}([A-Za-z0-9_+-]|[{]languagePair[}]))?)?)$')")
            .message("storageUri must be hf://ORGANISATION/REPOSITORY[:REVISION], such as hf://openai/whisper-base:main, or file:///ABSOLUTE/PATH; the only placeholder is {languagePair}"),
        validation = Rule::new("self.startsWith('file:') ? !self.matches('/[.][.](/|$)') : !self.matches('[.][.]|//.*//|[.]/|/[.]|^hf://[^:]*--')")
            .message("storageUri must not hold '..', a part of a revision that begins or ends with '.', an empty part, or '--' in a repository's name: write the plain path or name")
    )]
    pub storage_uri: String,
    /// The number format to compute in: `auto` (the best that the machine has), `float32` (the answers of
    /// transformers), `bfloat16`, `float16` or `int8`. A version whose format cannot run in the pod fails to load as
    /// `Incompatible`.
    #[serde(default)]
    pub dtype: Dtype,
    /// The share of requests that ask for no version, in percent, 0 to 100. The default version takes the rest.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 100")
        .message("weight must be a percentage from 0 to 100"))]
    pub weight: i32,
}
