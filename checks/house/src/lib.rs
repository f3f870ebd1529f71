//! Checks of the house itself: who may lean on whom, and whether the documents tell the truth. All
//! of it is in the tests.
