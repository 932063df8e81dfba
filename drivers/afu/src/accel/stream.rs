//! The stream accelerator.
