//! Checks of the house itself: storeys and documents.
