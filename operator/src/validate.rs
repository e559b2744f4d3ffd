//! From a spec to a [`ValidatedDeployment`], or to the first field that is wrong. Pure.
//!
//! The API server has checked most of this by the CRD's own rules; an object stored under older rules, or a CRD
//! installed without them, must still not lead to a wrong object.

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;
use ostler_crds::checked::{self, SpecError};
use ostler_crds::model_deployment::{CacheSpec, GpuSpec, HubSpec, ModelDeployment, REPIN_ANNOTATION};
use ostler_crds::quantity;

use crate::settings::Settings;
use crate::validated::{Cache, Identity, SecretKey, ValidatedDeployment, ValidatedGpu};

pub use error::ValidateError;

mod error;
mod resources;
mod template;

#[cfg(test)]
mod tests;

/// The cache's size where the spec names none.
const DEFAULT_CACHE_SIZE: &str = "20Gi";

/// The part of the cache's disk that is kept free where the spec names none, in percent.
const DEFAULT_KEEP_FREE: u8 = 10;

/// Checks a `ModelDeployment` and parses it into values that cannot be wrong.
///
/// # Errors
/// The first field that is wrong; see [`ValidateError`].
pub fn validate(
    deployment: &ModelDeployment,
    settings: &Settings,
) -> Result<ValidatedDeployment, ValidateError> {
    let spec = &deployment.spec;
    let identity = identity(deployment)?;
    if spec.replicas < 0 {
        return Err(out_of_range("spec.replicas", spec.replicas, "write 0 or more"));
    }
    let memory = checked::memory(&spec.memory)?;
    let models = checked::models(&spec.models)?;
    checked::result_caches(&models, &memory)?;
    let gpu = spec.gpu.as_ref().map(gpu).transpose()?;
    let template = template::template(spec.template.as_ref())?;
    let sidecar = spec.sidecar.clone().unwrap_or_default();
    let resources =
        resources::resources(memory, gpu.as_ref(), sidecar.resources.as_ref(), template.sidecar.as_ref())?;
    Ok(ValidatedDeployment {
        identity,
        replicas: spec.replicas,
        repin: deployment.metadata.annotations.as_ref().and_then(|all| all.get(REPIN_ANNOTATION)).cloned(),
        models,
        memory,
        task_limits: checked::task_limits(&spec.memory)?,
        preload_by_usage: checked::preload_by_usage(spec.preload_by_usage.as_ref())?,
        gpu,
        cache: cache(spec.cache.as_ref(), settings.host_path_prefix.as_deref())?,
        cache_keep_free: keep_free(spec.cache.as_ref())?,
        hub_token: spec.hub.as_ref().and_then(token).transpose()?,
        image: sidecar.image.unwrap_or_else(|| settings.sidecar_image.clone()),
        resources,
        environment: sidecar.env,
        template,
    })
}

fn out_of_range(field: &str, value: impl ToString, expectation: &'static str) -> ValidateError {
    SpecError::out_of_range(field, value, expectation).into()
}

fn identity(deployment: &ModelDeployment) -> Result<Identity, ValidateError> {
    let metadata = &deployment.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    checked::name(&name)?;
    let owner = deployment.controller_owner_ref(&()).unwrap_or_default();
    Ok(Identity {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name,
        generation: metadata.generation.unwrap_or_default(),
        owner,
    })
}

fn gpu(spec: &GpuSpec) -> Result<ValidatedGpu, ValidateError> {
    let count = u32::try_from(spec.count)
        .ok()
        .filter(|count| *count >= 1)
        .ok_or_else(|| out_of_range("spec.gpu.count", spec.count, "write 1 or more, or leave gpu out"))?;
    let min_memory_mebibytes = spec
        .min_memory
        .as_ref()
        .map(|minimum| quantity::bytes(minimum).map(|bytes| bytes.div_ceil(1 << 20)))
        .transpose()
        .map_err(|source| SpecError::Quantity { field: "spec.gpu.minMemory".to_owned(), source })?;
    let min_compute_capability = spec
        .min_compute_capability
        .as_deref()
        .map(|text| {
            let parsed = text
                .split_once('.')
                .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            let field = "spec.gpu.minComputeCapability";
            parsed.ok_or_else(|| out_of_range(field, format!("{text:?}"), "write MAJOR.MINOR, such as 8.0"))
        })
        .transpose()?;
    Ok(ValidatedGpu {
        count,
        resource_name: spec.resource_name.clone(),
        product_names: spec.product_names.clone(),
        min_memory_mebibytes,
        min_compute_capability,
    })
}

fn cache(spec: Option<&CacheSpec>, prefix: Option<&str>) -> Result<Cache, ValidateError> {
    let Some(spec) = spec else { return empty_dir(EmptyDirVolumeSource::default()) };
    match (&spec.empty_dir, &spec.persistent_volume_claim, &spec.host_path) {
        (None, None, None) => empty_dir(EmptyDirVolumeSource::default()),
        (Some(empty), None, None) => empty_dir(empty.clone()),
        (None, Some(claim), None) => Ok(Cache::Claim(claim.clone())),
        (None, None, Some(folder)) => host_path(&folder.path, prefix).map(Cache::HostPath),
        _ => Err(ValidateError::Template {
            field: "spec.cache".to_owned(),
            expectation: "write exactly one of emptyDir, persistentVolumeClaim and hostPath",
        }),
    }
}

fn empty_dir(mut source: EmptyDirVolumeSource) -> Result<Cache, ValidateError> {
    let limit = source.size_limit.get_or_insert_with(|| Quantity(DEFAULT_CACHE_SIZE.to_owned()));
    let field = || "spec.cache.emptyDir.sizeLimit".to_owned();
    let limit_bytes =
        quantity::bytes(limit).map_err(|source| SpecError::Quantity { field: field(), source })?;
    Ok(Cache::EmptyDir { source, limit_bytes: Some(limit_bytes).filter(|bytes| *bytes > 0) })
}

fn keep_free(spec: Option<&CacheSpec>) -> Result<u8, ValidateError> {
    let Some(percent) = spec.and_then(|spec| spec.keep_free) else { return Ok(DEFAULT_KEEP_FREE) };
    u8::try_from(percent).ok().filter(|percent| (1..=50).contains(percent)).ok_or_else(|| {
        out_of_range(
            "spec.cache.keepFree",
            percent,
            "write a percentage from 1 to 50, or leave it out for 10",
        )
    })
}

/// A path is below the prefix by whole parts: `/data-other` is not below `/data`.
fn host_path(path: &str, prefix: Option<&str>) -> Result<String, ValidateError> {
    let refused = |expectation: String| ValidateError::HostPath {
        field: "spec.cache.hostPath.path".to_owned(),
        path: path.to_owned(),
        expectation,
    };
    let Some(prefix) = prefix else {
        return Err(refused(
            "this cluster's administrator allows no folders of nodes; use emptyDir or a claim".into(),
        ));
    };
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    let (below, prefix_parts) = (parts(path), parts(prefix));
    let escapes = below.iter().any(|part| part == "..");
    if !path.starts_with('/')
        || escapes
        || below.len() <= prefix_parts.len()
        || !below.starts_with(&prefix_parts)
    {
        return Err(refused(format!("write an absolute path below {prefix}, without \"..\"")));
    }
    Ok(format!("/{}", below.join("/")))
}

fn token(hub: &HubSpec) -> Option<Result<SecretKey, ValidateError>> {
    let reference = hub.token_secret_ref.as_ref()?;
    if reference.name.is_empty() || reference.key.is_empty() {
        return Some(Err(ValidateError::Template {
            field: "spec.hub.tokenSecretRef".to_owned(),
            expectation: "write the Secret's name and the key in it that holds the token",
        }));
    }
    Some(Ok(SecretKey { name: reference.name.clone(), key: reference.key.clone() }))
}
