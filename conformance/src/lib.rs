//! What judges by running, behind `linkgate test`: configurations by their cases, offline and in virtual time, and clients,
//! against a gateway on loopback that plays tricks. Nothing is printed here: reports come out as text.

pub mod cases;
pub mod client;
pub mod report;
