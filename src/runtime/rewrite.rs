//! CONFIG REWRITE: the configuration file, replaced whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::{self, Config, Disk};

/// Writes `config` to the file it came from, keeping what the file has besides.
///
/// # Errors
/// Why the file is as it was before.
pub fn rewrite(path: &Path, config: &Config) -> Result<(), String> {
    // The target of a link is what was read; a rename must not replace the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let original = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let text = config::rewrite(&path, &original, config, &Disk).map_err(|e| e.to_string())?;
    replace(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Readers see the old text or the new one, also after a crash.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = Temporary::beside(path);
    let mut file = File::options().write(true).create_new(true).open(&temporary.0)?;
    if let Ok(metadata) = fs::metadata(path) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary.0, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// A file that does not outlive a failure.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Temporary {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{}.tmp", std::process::id(), super::clock::unix_us()));
        Temporary(path.with_file_name(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn keeps_comments_mode_and_links() {
        let directory = std::env::temp_dir().join(format!("ringwell-rw-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("real.conf");
        let link = directory.join("link.conf");
        fs::write(&file, "# mine\nport 7000\nmaxclients 50\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();

        let arguments = [link.clone().into(), "--maxclients".into(), "70".into()];
        let (config, _) = Config::load(&arguments, &Disk).unwrap();
        rewrite(&link, &config).unwrap();

        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("# mine") && text.contains("port 7000"), "{text}");
        assert!(text.contains("maxclients 70") && !text.contains("maxclients 50"), "{text}");
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        let names = fs::read_dir(&directory).unwrap().count();
        assert_eq!(names, 2, "no temporary file is left");

        let nowhere = directory.join("missing/ringwell.conf");
        let error = rewrite(&nowhere, &config).unwrap_err();
        assert!(error.contains("cannot write"), "{error}");
        fs::remove_dir_all(&directory).unwrap();
    }
}
