//! buyer
