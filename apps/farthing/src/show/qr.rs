//! QR codes in the terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// A text as a QR code, two rows of squares to a line; nothing if it is too long for one. Light on
/// dark terminals and dark on light ones are both read by cameras.
pub(crate) fn qr(text: &str) -> Option<String> {
    // Capitals take a third less room.
    let code = QrCode::with_error_correction_level(text.to_uppercase(), EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_fits_and_a_book_does_not() {
        let code = qr(&format!("farthing:request1{}", "q".repeat(600))).unwrap();
        let width = code.lines().next().unwrap().chars().count();
        assert!(width <= 100 && code.lines().all(|line| line.chars().count() == width), "{width}");
        assert!(qr(&"q".repeat(10_000)).is_none());
    }
}
