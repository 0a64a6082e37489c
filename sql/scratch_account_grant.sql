-- Gives the throw-away account the scratch database and nothing else ({{pattern}} is its name,
-- with its underscores escaped). Changes: the server's grants. Cost, locks: none.
GRANT ALL PRIVILEGES ON {{pattern}}.* TO %s@%s
