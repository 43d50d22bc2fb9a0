//! The filter on a link of the testkit, with the production runner, in virtual time.
