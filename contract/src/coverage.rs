//! What test cases are asked to bring about.

/// The branches of a filter that test cases are asked to take: the faults that it raises and its counters. May depend on
/// the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The codes of the faults that it raises, as far as this config lets them come up.
    pub faults: Vec<&'static str>,
    /// Those of its counters that this config keeps at 0: nobody is asked for them.
    pub never: Vec<&'static str>,
    /// Those of its faults and counters that only pushes bring about. Where none can come, nobody is asked for them.
    pub of_pushes: Vec<&'static str>,
    /// Likewise those that only joined messages bring about.
    pub of_batches: Vec<&'static str>,
}

impl Coverage {
    /// Its counters alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// It raises faults of these codes.
    #[must_use]
    pub fn raises(mut self, codes: impl IntoIterator<Item = &'static str>) -> Self {
        self.faults.extend(codes);
        self
    }

    /// This config keeps these of its counters at 0, if `is_so`.
    #[must_use]
    pub fn never(mut self, is_so: bool, counters: &[&'static str]) -> Self {
        if is_so {
            self.never.extend(counters);
        }
        self
    }

    /// Only pushes bring these of its faults and counters about.
    #[must_use]
    pub fn of_pushes(mut self, names: &[&'static str]) -> Self {
        self.of_pushes.extend(names);
        self
    }

    /// Only joined messages bring these of its faults and counters about.
    #[must_use]
    pub fn of_batches(mut self, names: &[&'static str]) -> Self {
        self.of_batches.extend(names);
        self
    }
}
