//! Why a folder of files did not become an engine.

/// Why a model could not be measured or loaded. Each text names the file, and the tensor or field in it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that the task needs is not there.
    #[error("{file} is missing: {reason}")]
    MissingFile {
        /// The file's name in the repository.
        file: String,
        /// What needs it.
        reason: String,
    },
    /// The file system refused.
    #[error("{file} cannot be read or written")]
    Io {
        /// The file's name.
        file: String,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what its format says.
    #[error("{file} is damaged: {message}")]
    Corrupted {
        /// The file's name.
        file: String,
        /// What is wrong with it, and where.
        message: String,
    },
    /// The weights are not what they should be, says whoever keeps the files.
    #[error("the files of the weights cannot be used")]
    Unverified(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A tensor that the architecture needs is in none of the weight files.
    #[error("{file} lacks the tensor {tensor:?} that config.json calls for")]
    MissingTensor {
        /// The file, or the first of them.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// The file holds a tensor that the architecture has no place for, so config.json does not describe it.
    #[error("{file} holds the tensor {tensor:?}, which the model that config.json describes does not have")]
    UnexpectedTensor {
        /// The file's name.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has other dimensions than config.json says.
    #[error("{file}: the tensor {tensor:?} has the shape {found:?}, config.json calls for {expected:?}")]
    WrongShape {
        /// The file's name.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The dimensions that the architecture needs.
        expected: Vec<usize>,
        /// The dimensions in the file.
        found: Vec<usize>,
    },
    /// A tensor holds NaN or infinity, which a format of fewer bits or a layer after it might hide from the first job.
    #[error("{file}: the tensor {tensor:?} holds numbers that are NaN or infinite")]
    NotFinite {
        /// The file's name.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor's numbers are whole ones: a form of weights that nothing here computes with.
    #[error("{file}: the tensor {tensor:?} holds numbers of the format {found}, and weights are floats")]
    WrongFormat {
        /// The file's name.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The format as safetensors names it.
        found: &'static str,
    },
    /// A sound model that this program, or this machine, does not run.
    #[error("{0}")]
    Incompatible(String),
    /// The file asks for more than data, or does not behave like data.
    #[error("{file} is not safe to load: {message}")]
    Unsafe {
        /// The file's name.
        file: String,
        /// What it asked for.
        message: String,
    },
    /// The system has not the memory.
    #[error("the system has not the {bytes} bytes of memory that the weights take")]
    Memory {
        /// How many were asked for.
        bytes: u64,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// A tensor operation failed while the model was put together.
    #[error("the model cannot be put together")]
    Compute(#[from] candle_core::Error),
}

impl LoadError {
    /// One word for conditions and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::MissingFile { .. } => "MissingFile",
            Self::Io { .. } => "ReadFailed",
            Self::Corrupted { .. } => "Corrupted",
            Self::Unverified(_) => "Unverified",
            Self::Unsafe { .. } => "Unsafe",
            Self::MissingTensor { .. }
            | Self::UnexpectedTensor { .. }
            | Self::WrongShape { .. }
            | Self::WrongFormat { .. }
            | Self::Incompatible(_) => "Incompatible",
            Self::NotFinite { .. } => "NotFinite",
            Self::Memory { .. } => "OutOfMemory",
            Self::Compute(_) => "LoadFailed",
        }
    }

    /// The same about a file of a folder of the repository.
    pub(crate) fn in_folder(mut self, folder: &str) -> Self {
        match &mut self {
            Self::MissingFile { file, .. }
            | Self::Io { file, .. }
            | Self::Corrupted { file, .. }
            | Self::MissingTensor { file, .. }
            | Self::UnexpectedTensor { file, .. }
            | Self::WrongShape { file, .. }
            | Self::WrongFormat { file, .. }
            | Self::NotFinite { file, .. }
            | Self::Unsafe { file, .. } => *file = format!("{folder}/{file}"),
            Self::Incompatible(message) => *message = format!("{folder}/{message}"),
            Self::Unverified(_) | Self::Memory { .. } | Self::Compute(_) => {}
        }
        self
    }

    pub(crate) fn corrupted(file: &str, message: impl std::fmt::Display) -> Self {
        Self::Corrupted { file: file.to_owned(), message: message.to_string() }
    }

    pub(crate) fn io(file: &str, source: std::io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }
}
