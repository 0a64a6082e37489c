-- Reads the segments: hash (the middle of an archive's name), name, whether the archiver builds
-- them by itself. Cost: one small table. Locks: none.
SELECT hash AS hash, name AS name, auto_archive AS auto_archive, deleted AS deleted
  FROM {{segment}}
