//! Everything that needs no server.

mod architecture;
mod renderings;
