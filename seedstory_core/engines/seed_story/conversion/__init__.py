"""Official SEED-Story files to a world folder, in any number of calls: `world.convert`."""
