//! What can be wrong with a client.

/// What is wrong with a toy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// A read is taken for a frame.
    ReadsOnce,
    NoFragments,
    NoMask,
    NoPong,
    NoCloseAnswer,
    HangsUp,
    /// Stops at what it does not know.
    Strict,
    /// The key is made of the body.
    KeyOfBody,
    /// An answer is for the oldest message.
    AnswersInOrder,
    /// What is sent is sent.
    NeverRetries,
    /// A retry has a new key.
    NewKeys,
    Impatient,
    /// Waits for nothing that the gateway asks to wait for, nor before it connects.
    Hasty,
    /// A refusal is never for good.
    NeverGivesUp,
    NewestFirst,
    Unbounded,
    NoAck,
    NoMemory,
    ForgetsOnReconnect,
    /// Pushes are taken for numbered.
    SkipsOlder,
    KnowsPushesByBody,
    TrimsKeys,
    NoHeartbeat,
    IgnoresRedirects,
    FirstAddressOnly,
    NeedsAddress,
    NeverReturns,
    /// Returns whatever the code, with what it has.
    Stubborn,
    OldToken,
    NoChance,
}
