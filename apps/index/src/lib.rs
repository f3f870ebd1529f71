//! The index: signed listings, full-text search and presence.
