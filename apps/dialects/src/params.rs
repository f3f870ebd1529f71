//! `WWW-Authenticate` (RFC 9110, section 11.6.1): challenges of any scheme, in one value or many.

use crate::{Unreadable, b64};

/// The most challenges in one header.
const CHALLENGES_MAX: usize = 16;
/// The most parameters of one challenge.
const PARAMS_MAX: usize = 24;

/// A challenge: its scheme, and its parameters with names in lower case.
pub(crate) type Parsed<'a> = (&'a str, Vec<(String, String)>);

/// Reads all challenges in one header value.
pub(crate) fn challenges(value: &str) -> Result<Vec<Parsed<'_>>, Unreadable> {
    b64::bounded(value)?;
    let mut all: Vec<Parsed<'_>> = Vec::new();
    let mut rest = Cursor(value);
    loop {
        rest.skip(|c| c == ' ' || c == '\t' || c == ',');
        if rest.0.is_empty() {
            return Ok(all);
        }
        let word = rest.token()?;
        let after = rest.0;
        if let Some(value) = rest.assigned()? {
            let (_, params) = all.last_mut().ok_or(Unreadable::Syntax)?;
            let name = word.to_ascii_lowercase();
            if params.len() == PARAMS_MAX {
                return Err(Unreadable::TooLong);
            }
            if params.iter().any(|(before, _)| *before == name) {
                return Err(Unreadable::Syntax);
            }
            params.push((name, value));
            continue;
        }
        rest.0 = after;
        if all.len() == CHALLENGES_MAX {
            return Err(Unreadable::TooLong);
        }
        all.push((word, Vec::new()));
        rest.skip_token68();
    }
}

struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }

    fn token(&mut self) -> Result<&'a str, Unreadable> {
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() { Err(Unreadable::Syntax) } else { Ok(token) }
    }

    /// `= token` or `= "quoted"`, if that is what follows.
    fn assigned(&mut self) -> Result<Option<String>, Unreadable> {
        self.skip(|c| c == ' ' || c == '\t');
        let Some(rest) = self.0.strip_prefix('=') else { return Ok(None) };
        self.0 = rest;
        self.skip(|c| c == ' ' || c == '\t');
        if let Some(rest) = self.0.strip_prefix('"') {
            self.0 = rest;
            return self.quoted().map(Some);
        }
        self.token().map(|token| Some(token.to_owned()))
    }

    fn quoted(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(text);
                }
                '\\' => text.push(chars.next().ok_or(Unreadable::Syntax)?.1),
                c if c.is_control() && c != '\t' => return Err(Unreadable::Syntax),
                c => text.push(c),
            }
        }
        Err(Unreadable::Syntax)
    }

    /// What a scheme such as `Basic` may carry in place of parameters.
    fn skip_token68(&mut self) {
        self.skip(|c| c == ' ' || c == '\t');
        let end = self.0.find([' ', '\t', ',']).unwrap_or(self.0.len());
        let word = &self.0[..end];
        let body = word.trim_end_matches('=');
        let follows = self.0[end..].trim_start_matches([' ', '\t']);
        let alone = follows.is_empty() || follows.starts_with(',');
        if alone && !body.is_empty() && body.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c)) {
            self.0 = &self.0[end..];
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A quoted string; what cannot stand in one is left out.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_several_schemes_are_told_apart() {
        let all =
            challenges(r#"Basic realm="a, b", Negotiate abc==, Payment id = "x\"y", intent=charge, Payment id="2""#);
        let all = all.unwrap();
        let schemes: Vec<_> = all.iter().map(|(scheme, _)| *scheme).collect();
        assert_eq!(schemes, ["Basic", "Negotiate", "Payment", "Payment"]);
        assert_eq!(all[2].1, [("id".into(), "x\"y".into()), ("intent".into(), "charge".into())]);
    }

    #[test]
    fn a_parameter_given_twice_or_left_open_is_refused() {
        for bad in [r#"Payment id="1", ID="2""#, r#"Payment id="1"#, r#"id="1""#, "Payment =x"] {
            assert_eq!(challenges(bad), Err(Unreadable::Syntax), "{bad}");
        }
        let many: String = (0..25).map(|n| format!(", p{n}=1")).collect();
        assert_eq!(challenges(&format!("Payment a=1{many}")), Err(Unreadable::TooLong));
        assert_eq!(challenges(&"Payment,".repeat(17)), Err(Unreadable::TooLong));
    }
}
