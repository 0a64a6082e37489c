-- Makes a token as Matomo does (UsersManager\Model::addTokenAuth): only its hash is kept. It ends
-- by itself after two days, should nobody take it away.
-- Changes: one new row of user_token_auth. Locks: that row.
INSERT INTO {{tokens}}
       (login, description, password, hash_algo, system_token, date_created, date_expired)
VALUES (%s, %s, %s, 'sha512', 0, UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL 2 DAY)
