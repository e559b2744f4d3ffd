//! The hub as tests hold it: started, filled, scripted, asked what happened.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contents::{Files, read_files};
use crate::error::TestHubError;
use crate::fault::{Fault, On};
use crate::log::LoggedRequest;
use crate::repository::Commit;
use crate::serve::{Listener, Shared, lock, serve};

/// A running hub. Dropping it ends it.
#[derive(Debug)]
pub struct TestHub {
    address: SocketAddr,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
}

impl TestHub {
    /// Starts an empty hub on a free port of loopback; storage is at the same address.
    ///
    /// # Errors
    /// Where the port cannot be bound.
    pub async fn start() -> Result<Self, TestHubError> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts an empty hub whose redirects of large files lead to a listener on another address, such as 127.0.0.2.
    ///
    /// # Errors
    /// Where a port cannot be bound.
    pub async fn start_with_storage_at(storage: IpAddr) -> Result<Self, TestHubError> {
        let storage = bind(SocketAddr::new(storage, 0)).await?;
        Self::run(bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?, Some(storage))
    }

    /// Starts an empty hub on a given address.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn listen(address: SocketAddr) -> Result<Self, TestHubError> {
        Self::run(bind(address).await?, None)
    }

    fn run(endpoint: TcpListener, storage: Option<TcpListener>) -> Result<Self, TestHubError> {
        let address = endpoint.local_addr().map_err(TestHubError::Serve)?;
        let storage_address =
            storage.as_ref().map(TcpListener::local_addr).transpose().map_err(TestHubError::Serve)?;
        let storage_origin = storage_address.map(|address| format!("http://{address}"));
        let shared = Arc::new(Shared { storage: storage_origin, ..Shared::default() });
        let shutdown = CancellationToken::new();
        let tasks = std::iter::once((endpoint, false))
            .chain(storage.map(|listener| (listener, true)))
            .map(|(listener, is_storage)| {
                let state = Listener { shared: Arc::clone(&shared), is_storage };
                let router = Router::new().fallback(serve).with_state(state);
                let shutdown = shutdown.clone().cancelled_owned();
                tokio::spawn(
                    async move { axum::serve(listener, router).with_graceful_shutdown(shutdown).await },
                )
            })
            .collect();
        Ok(Self { address, shared, shutdown, tasks })
    }

    /// The address for `HF_ENDPOINT`, without a slash at its end.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a commit to a repository, made where it is missing, and moves a branch to it. The commit's id follows
    /// from its contents; older commits stay servable. Reads and digests every file, so it blocks.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn push(
        &self,
        repository: &str,
        branch: &str,
        files: impl Into<Files>,
    ) -> Result<String, TestHubError> {
        let commit = Commit::new(read_files(files.into())?);
        let mut repositories = lock(&self.shared.repositories);
        Ok(repositories.entry(repository.to_owned()).or_default().push(branch, commit))
    }

    /// Pushes every folder `ORG/NAME` below a root to `main`; returns the repositories and their commits. Blocks.
    ///
    /// # Errors
    /// Where a folder or file cannot be read.
    pub fn push_all(&self, root: &Path) -> Result<Vec<(String, String)>, TestHubError> {
        let mut commits = Vec::new();
        for owner in folders(root)? {
            for name in folders(&root.join(&owner))? {
                let folder = root.join(&owner).join(&name);
                commits.push((format!("{owner}/{name}"), Commit::new(read_files(Files::Folder(folder))?)));
            }
        }
        // All appear at once: what one of them says of the others is true from the first request on.
        let mut repositories = lock(&self.shared.repositories);
        let mut push = |(name, commit): (String, Commit)| {
            let id = repositories.entry(name.clone()).or_default().push("main", commit);
            (name, id)
        };
        Ok(commits.into_iter().map(&mut push).collect())
    }

    /// Removes a repository with all its commits.
    pub fn remove(&self, repository: &str) {
        lock(&self.shared.repositories).remove(repository);
    }

    /// Hides a repository from requests without this bearer token.
    ///
    /// # Errors
    /// Where the repository does not exist.
    pub fn require_token(&self, repository: &str, token: &str) -> Result<(), TestHubError> {
        let mut repositories = lock(&self.shared.repositories);
        let found = repositories.get_mut(repository);
        found.ok_or_else(|| TestHubError::UnknownRepository(repository.to_owned()))?.token =
            Some(token.to_owned());
        Ok(())
    }

    /// Refuses a repository's files to everybody, as before access is granted on its page; it stays listed.
    ///
    /// # Errors
    /// Where the repository does not exist.
    pub fn gate(&self, repository: &str) -> Result<(), TestHubError> {
        let mut repositories = lock(&self.shared.repositories);
        let found = repositories.get_mut(repository);
        found.ok_or_else(|| TestHubError::UnknownRepository(repository.to_owned()))?.is_gated = true;
        Ok(())
    }

    /// Scripts a fault; for a request that several meet, the first that is not used up counts.
    pub fn fault(&self, on: On, fault: Fault) -> &Self {
        lock(&self.shared.script).add(on, fault);
        self
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        lock(&self.shared.script).clear();
    }

    /// Every request since the start or since `forget_requests`, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log.all()
    }

    /// How many requests there were of a kind.
    #[must_use]
    pub fn count(&self, on: &On) -> usize {
        let carries_bytes =
            |request: &LoggedRequest| request.method == "GET" && matches!(request.status, 200 | 206);
        let meets =
            |request: &LoggedRequest| on.meets(request.part, request.file.as_deref(), carries_bytes(request));
        self.requests().iter().filter(|request| meets(request)).count()
    }

    /// Empties the log of requests.
    pub fn forget_requests(&self) {
        self.shared.log.clear();
    }

    /// Takes no new connection, lets open requests finish, and returns when all are done.
    ///
    /// # Errors
    /// Where serving had failed.
    pub async fn shut_down(mut self) -> Result<(), TestHubError> {
        self.shutdown.cancel();
        for task in self.tasks.drain(..) {
            task.await.map_err(std::io::Error::other).flatten().map_err(TestHubError::Serve)?;
        }
        Ok(())
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.shutdown.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, TestHubError> {
    TcpListener::bind(address).await.map_err(|source| TestHubError::Listen { address, source })
}

/// The names of the folders in a folder, sorted; hidden ones left out.
fn folders(folder: &Path) -> Result<Vec<String>, TestHubError> {
    let unreadable = |source| TestHubError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| TestHubError::FileName { path: path.clone() })?;
        if path.is_dir() && !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
