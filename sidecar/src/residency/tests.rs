//! The promises of the module's head, on scripted cases here and on random ones in `properties`.

mod cases;
mod properties;
mod world;
