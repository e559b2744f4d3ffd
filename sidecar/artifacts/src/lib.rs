//! Model files on disk: fetched once, verified, published atomically into the Hub's own cache layout.
