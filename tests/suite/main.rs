//! Everything that needs no server.

mod architecture;
mod documents;
mod renderings;
