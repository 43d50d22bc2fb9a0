//! Drives a pipeline in virtual time.
