//! What a stranger is looking for, made harmless.

use farthing_core::refusal::{Code, Refusal, Remedy};

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 256;
/// How many words a query may have.
pub const QUERY_TERMS_MAX: usize = 16;

/// Words that must all occur. Holds an expression of FTS5 made of nothing but quoted strings, so
/// that no operator, column name or quote of a stranger's is ever read as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// Reads words separated by blanks. A word with signs inside (`rock-n-roll`, `README.md`) is
    /// looked for as the phrase of its parts.
    ///
    /// # Errors
    /// A refusal for no words, too many, or too long a text.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let mend = |code, detail: String| Refusal::new(code, detail).remedy(Remedy::Mend);
        if text.len() > QUERY_BYTES_MAX {
            return Err(mend(Code::Limit, format!("a query has {QUERY_BYTES_MAX} bytes at most")));
        }
        // A quote would end the string and a NUL the whole expression, so neither gets in.
        let separates = |c: char| c.is_whitespace() || c.is_control() || c == '"';
        let terms: Vec<String> = text
            .split(separates)
            .filter(|term| term.chars().any(char::is_alphanumeric))
            .map(|term| format!("\"{term}\""))
            .collect();
        match terms.len() {
            0 => Err(mend(Code::Malformed, "say what to look for: a word or several".into())),
            1..=QUERY_TERMS_MAX => Ok(Self(terms.join(" "))),
            _ => Err(mend(Code::Limit, format!("a query has {QUERY_TERMS_MAX} words at most"))),
        }
    }

    pub(super) fn as_fts(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_nothing_but_quoted_words() {
        for (text, fts) in [
            ("blue moon", r#""blue" "moon""#),
            ("a\"b", r#""a" "b""#),
            ("moon* OR -x NEAR(a b)", r#""moon*" "OR" "-x" "NEAR(a" "b)""#),
            ("title:x ^y", r#""title:x" "^y""#),
            ("a\0b", r#""a" "b""#),
            ("* - \" () x", r#""x""#),
        ] {
            assert_eq!(Query::new(text).unwrap().as_fts(), fts);
        }
    }

    #[test]
    fn index_refuses_a_query_of_nothing_and_an_endless_one() {
        for text in ["", "  ", "*", "\"\"", "-", "()"] {
            assert_eq!(Query::new(text).unwrap_err().code, Code::Malformed, "{text:?}");
        }
        assert_eq!(Query::new(&"x".repeat(257)).unwrap_err().code, Code::Limit);
        assert_eq!(Query::new(&"x ".repeat(17)).unwrap_err().code, Code::Limit);
        assert!(Query::new(&"x ".repeat(16)).is_ok());
    }
}
