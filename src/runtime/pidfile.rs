//! `pidfile`: where scripts and service managers look for the process.

use std::fs;
use std::path::{Path, PathBuf};

/// The file, removed when the server ends.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the process id. As in Redis the server runs without the file where it cannot be
    /// written, and says so.
    pub fn write(path: &Path) -> Option<PidFile> {
        match fs::write(path, content()) {
            Ok(()) => Some(PidFile(path.to_owned())),
            Err(error) => {
                tracing::warn!("cannot write pidfile '{}': {error}", path.display());
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another server may have been started with the same file meanwhile.
        if fs::read_to_string(&self.0).is_ok_and(|text| text == content()) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn content() -> String {
    format!("{}\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_only_its_own() {
        let path = std::env::temp_dir().join(format!("ringwell-pid-{}", std::process::id()));
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content());
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::remove_file(&path).unwrap();
        assert!(PidFile::write(Path::new("/nonexistent-directory/pid")).is_none());
    }
}
