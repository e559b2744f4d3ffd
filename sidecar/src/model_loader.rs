//! The loader of real models: files from the Hub or a folder, engines from the inference crate.

mod held;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use ostler_artifacts::{ArtifactError, Cache, FileEntry, InUse, Transfer, digest_folder, fetch};
use ostler_crds::names::{Dtype, StorageUri, Task};
use ostler_crds::status::FailureLocation;
use ostler_hub::HubClient;
use ostler_inference::engine::Engine;
use ostler_inference::files;
use ostler_inference::load::{
    self, BoxError, LoadError, LoadOptions, PackedCache, PackedEvent, PicklePolicy,
};
use ostler_inference::processor::Processor;

use crate::causes::with_causes;
use crate::loader::{Loader, OnTransfer, Prepared, Transferred};
use crate::metrics::Metrics;
use crate::residency::Footprint;
use crate::target::{Target, VersionFailure};
use held::Held;

/// Fetches through a cache, loads with the inference crate.
#[derive(Clone)]
pub struct ModelLoader {
    hub: HubClient,
    cache: Cache,
    pickle: PicklePolicy,
    processor: Arc<Processor>,
    /// Where what becomes of packed weights is counted, where they are kept.
    packed: Option<Metrics>,
}

impl ModelLoader {
    /// A loader whose pickles, where they are allowed, are converted by `program` started as `unpickle`.
    #[must_use]
    pub fn new(
        hub: HubClient,
        cache: Cache,
        allow_pickle: Option<PathBuf>,
        processor: Arc<Processor>,
    ) -> Self {
        let pickle = match allow_pickle {
            Some(program) => PicklePolicy::Child {
                program,
                arguments: vec!["unpickle".into()],
                scratch_folder: cache.root().join(".ostler-converted"),
            },
            None => PicklePolicy::Refused,
        };
        Self { hub, cache, pickle, processor, packed: None }
    }

    /// The same, which keeps packed weights in the cache and counts what becomes of them.
    #[must_use]
    pub fn with_packed_cache(self, metrics: Metrics) -> Self {
        Self { packed: Some(metrics), ..self }
    }

    fn options(&self, target: &Target) -> LoadOptions {
        LoadOptions {
            dtype: target.dtype,
            pickle: self.pickle.clone(),
            processor: Arc::clone(&self.processor),
            packed: None,
        }
    }

    /// Where packed weights of a target's files are kept.
    fn packed_cache(&self, target: &Target, prepared: &Prepared) -> Option<PackedCache> {
        let metrics = self.packed.clone()?;
        let folder = match (&target.source, &target.commit) {
            (StorageUri::Hub { repository, .. }, Some(commit)) => {
                self.cache.packed_of_commit(repository, commit)
            }
            _ => self.cache.packed_of_folder(&prepared.folder, &prepared.revision),
        };
        let (loader, checked, of_cache) = (self.clone(), OnceLock::new(), target.clone());
        let check_files = move || -> Result<(), BoxError> {
            // A model of several parts asks for each.
            if checked.get().is_none() {
                loader.check(&of_cache, is_packed)?;
                let _ = checked.set(());
            }
            Ok(())
        };
        let key = target.key.clone();
        let watch = move |event: &PackedEvent| {
            metrics.observe_packed_weights(event);
            if let PackedEvent::Failed(error) = event {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, version = %key, "packed weights are not kept for the next load");
            }
        };
        let revision = prepared.revision.clone();
        Some(PackedCache { folder, revision, check_files: Arc::new(check_files), watch: Arc::new(watch) })
    }

    /// The folder with the verified files, and what it is pinned to.
    async fn files(
        &self,
        target: &Target,
        on_transfer: OnTransfer,
    ) -> Result<(PathBuf, String), VersionFailure> {
        let StorageUri::Hub { repository, .. } = &target.source else {
            return self.folder(&target.source).await;
        };
        let Some(commit) = &target.commit else {
            let message = "the revision is not resolved to a commit yet".to_owned();
            return Err(failure(FailureLocation::Download, "Unpinned", message, false));
        };
        let progress = move |transfer: Transfer| {
            on_transfer(Transferred {
                total_bytes: transfer.total_bytes,
                completed_bytes: transfer.completed_bytes,
            });
        };
        let select = self.select(target.task);
        let snapshot = fetch(&self.hub, &self.cache, repository, commit, &select, progress).await;
        let snapshot = snapshot.map_err(|error| of_artifact(&error))?;
        Ok((snapshot.folder, snapshot.commit.to_string()))
    }

    /// Chooses the files that a task needs.
    fn select(
        &self,
        task: Task,
    ) -> impl Fn(&[FileEntry]) -> Result<Vec<String>, String> + Send + Sync + use<> {
        let allow_pickle = self.pickle != PicklePolicy::Refused;
        move |entries| select(task, entries, allow_pickle)
    }

    /// Keeps what is read of the cache there as long as the answer lives, and checks it before it is read. Weights that
    /// may be read from a packed copy are checked when it turns out that they are not.
    fn hold(&self, target: &Target) -> Result<Vec<InUse>, VersionFailure> {
        let mut held = Vec::new();
        held.extend(self.hold_copies());
        if let (StorageUri::Hub { repository, .. }, Some(commit)) = (&target.source, &target.commit) {
            match self.cache.hold(repository, commit) {
                Ok(commit) => held.push(commit),
                // Nobody can remove anything from a cache that cannot be written to.
                Err(error) => tracing::debug!(%error, "the commit is not held in the cache"),
            }
            let is_deferred = |path: &str| self.packed.is_some() && is_packed(path);
            self.check(target, |path| !is_deferred(path)).map_err(|error| of_artifact(&error))?;
        }
        Ok(held)
    }

    /// Checks the files of a target, and what is in those that `is_read` says of.
    fn check(&self, target: &Target, is_read: impl Fn(&str) -> bool) -> Result<(), ArtifactError> {
        match (&target.source, &target.commit) {
            (StorageUri::Hub { repository, .. }, Some(commit)) => {
                self.cache.check(repository, commit, &self.select(target.task), is_read)
            }
            // A folder is its owner's.
            _ => Ok(()),
        }
    }

    fn hold_copies(&self) -> Option<InUse> {
        let held = self.cache.hold_copies();
        held.inspect_err(|error| tracing::debug!(%error, "copies of weights are not held in the cache")).ok()
    }

    async fn folder(&self, source: &StorageUri) -> Result<(PathBuf, String), VersionFailure> {
        let StorageUri::File { path } = source else {
            let message = format!("{source} is no folder");
            return Err(failure(FailureLocation::Download, "SourceUnreadable", message, false));
        };
        let folder = PathBuf::from(path);
        let digest = digest_folder(folder.clone()).await.map_err(|error| of_artifact(&error))?;
        Ok((folder, digest))
    }
}

impl Loader for ModelLoader {
    fn prepare(
        &self,
        target: &Target,
        on_transfer: OnTransfer,
    ) -> BoxFuture<'static, Result<Prepared, VersionFailure>> {
        let (loader, target) = (self.clone(), target.clone());
        async move {
            let (folder, revision) = loader.files(&target, on_transfer).await?;
            let (options, task) = (loader.options(&target), target.task);
            let place = folder.clone();
            // Reading headers, and converting a pickle, must not hold up the runtime.
            let measuring = move || {
                let _held = loader.hold_copies();
                measure(&place, task, &options)
            };
            let measured = tokio::task::spawn_blocking(measuring).await;
            let footprint = measured.map_err(|error| {
                failure(
                    FailureLocation::Load,
                    "Panicked",
                    format!("measuring the model broke down: {error}"),
                    true,
                )
            })??;
            Ok(Prepared { folder, revision, footprint })
        }
        .boxed()
    }

    fn dtype(&self, target: &Target) -> Dtype {
        load::computed_dtype(target.task, target.dtype, &self.processor)
    }

    fn load(&self, target: &Target, prepared: &Prepared) -> Result<Arc<dyn Engine>, VersionFailure> {
        let held = self.hold(target)?;
        let packed = self.packed_cache(target, prepared);
        let options = LoadOptions { packed, ..self.options(target) };
        let loaded = load::load(&prepared.folder, target.task, &options);
        let engine = loaded.map_err(|error| match error {
            LoadError::Unverified(_) => of_load(&error),
            // What is damaged in the cache is fetched again, wherever the damage showed.
            _ => self.check(target, is_packed).map_or_else(|lost| of_artifact(&lost), |()| of_load(&error)),
        })?;
        Ok(Arc::new(Held::new(engine, held)))
    }
}

/// Whether a file has weights of which a packed copy may be kept. A pickle is read before that is known.
fn is_packed(path: &str) -> bool {
    path.ends_with(".safetensors")
}

fn select(task: Task, entries: &[FileEntry], allow_pickle: bool) -> Result<Vec<String>, String> {
    let files: Vec<(String, u64)> = entries.iter().map(|entry| (entry.path.clone(), entry.size)).collect();
    files::select(task, &files, allow_pickle).map_err(|error| error.to_string())
}

fn measure(folder: &Path, task: Task, options: &LoadOptions) -> Result<Footprint, VersionFailure> {
    let footprint = load::inspect(folder, task, options).map_err(|error| of_load(&error))?;
    Ok(Footprint {
        resident_bytes: footprint.resident_bytes,
        transient_bytes: footprint.transient_bytes,
        scratch_bytes: footprint.scratch_bytes,
    })
}

fn failure(location: FailureLocation, reason: &str, message: String, retryable: bool) -> VersionFailure {
    VersionFailure { location, reason: reason.to_owned(), message, retryable, retry_after: None }
}

fn of_artifact(error: &ArtifactError) -> VersionFailure {
    // Disks are cleaned up and folders are filled by others, without a change of the plan.
    let may_heal = matches!(
        error,
        ArtifactError::DiskFull { .. }
            | ArtifactError::CacheUnwritable { .. }
            | ArtifactError::CacheFailed { .. }
            | ArtifactError::SourceFolder { .. }
            | ArtifactError::IntegrityMismatch { .. }
    );
    VersionFailure {
        retry_after: error.retry_after(),
        ..failure(
            FailureLocation::Download,
            error.reason(),
            with_causes(error),
            error.is_retryable() || may_heal,
        )
    }
}

fn of_load(error: &LoadError) -> VersionFailure {
    if let LoadError::Unverified(source) = error
        && let Some(error) = source.downcast_ref::<ArtifactError>()
    {
        return of_artifact(error);
    }
    // What the system refused now it may grant later; what the files say, they will say again.
    let retryable = matches!(error, LoadError::Io { .. } | LoadError::Memory { .. } | LoadError::Compute(_));
    failure(FailureLocation::Load, error.reason(), with_causes(error), retryable)
}
