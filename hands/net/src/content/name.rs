//! Names from strangers are never paths.

use core::fmt;

/// The longest file name, in bytes: what common file systems take.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// A name that is safe to create in a folder of ours. Only [`safe_name`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<std::path::Path> for FileName {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

/// Why a stranger's name is not taken. The remedy is always to save under a name of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name at all.
    #[error("the name is empty; choose one")]
    Empty,
    /// Longer than [`FILE_NAME_BYTES_MAX`].
    #[error("the name is longer than {FILE_NAME_BYTES_MAX} bytes; choose a shorter one")]
    TooLong,
    /// It would lead out of the folder, or into another one.
    #[error("the name is a path; choose a plain name")]
    Path,
    /// It would be a hidden file, which shells and tools read on their own.
    #[error("the name begins with a dot; choose one that can be seen")]
    Hidden,
    /// It would look like something else than it is on a terminal.
    #[error("the name holds invisible, control or direction-changing characters; choose a plain one")]
    Deceptive,
}

/// Accepts one plain file name.
///
/// # Errors
/// [`NameError`] for separators (of any system), control characters, characters that change the
/// direction of writing or do not show, blanks at either end, a leading dot (so `.` and `..`
/// too), and names too short or too long.
pub fn safe_name(name: &str) -> Result<FileName, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > FILE_NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name.contains(['/', '\\', ':']) {
        return Err(NameError::Path);
    }
    if name.chars().any(deceives) || name.trim() != name {
        return Err(NameError::Deceptive);
    }
    if name.starts_with('.') {
        return Err(NameError::Hidden);
    }
    Ok(FileName(name.to_owned()))
}

/// Characters that hide something: Unicode's controls, its bidirectional controls (Standard Annex
/// 9, §2), zero-width and line-breaking characters, and tags.
#[must_use]
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{FEFF}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken_as_they_are() {
        for name in ["a", "song.ogg", "Über den Wolken (live).flac", "日本.txt", &"x".repeat(255)] {
            assert_eq!(safe_name(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn buyer_refuses_a_name_that_leads_out_of_the_folder() {
        for name in ["../x", "/etc/passwd", "a/b", "..\\x", "C:evil", "file.txt:stream"] {
            assert_eq!(safe_name(name), Err(NameError::Path), "{name:?}");
        }
        for name in [".", "..", ".bashrc"] {
            assert_eq!(safe_name(name), Err(NameError::Hidden), "{name:?}");
        }
    }

    #[test]
    fn buyer_refuses_a_name_that_looks_like_another() {
        for name in ["a\0", "a\nb", "a\u{1b}[2J", "gpj.\u{202e}exe", "a\u{200b}", " a", "a "] {
            assert_eq!(safe_name(name), Err(NameError::Deceptive), "{name:?}");
        }
    }

    #[test]
    fn buyer_refuses_no_name_and_an_endless_one() {
        assert_eq!(safe_name(""), Err(NameError::Empty));
        assert_eq!(safe_name(&"x".repeat(256)), Err(NameError::TooLong));
    }
}
