//! Where configuration text comes from: the one door between this module and a file system.

use std::io;
use std::path::{Path, PathBuf};

/// Reads configuration files; the tests have theirs in memory.
pub trait Files {
    /// The whole of a file. It need not be text: a password, or a comment, may be of any bytes.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Names of the entries of a directory, in any order; for patterns in `include`.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// The same file by a path that starts at the root.
    fn absolute(&self, path: &Path) -> io::Result<PathBuf>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

/// A file larger than this is not a configuration file.
const FILE_BYTES_MAX: u64 = 16 << 20;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 16 MB"));
        }
        std::fs::read(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        std::fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        std::path::absolute(path)
    }
}
