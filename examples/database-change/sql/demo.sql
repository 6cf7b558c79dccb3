create table payment_terms (code varchar(10) primary key, days integer not null);
insert into payment_terms (code, days) values ('NET30', 30);
insert into payment_terms (code, days) values ('NET90', 90);
insert into payment_terms (code, days) values ('NET120', 120);
create table suppliers (id integer primary key, name varchar(80) not null, term varchar(10) not null references payment_terms);
insert into suppliers (id, name, term) values (1001, 'Acme SA', 'NET30');
insert into suppliers (id, name, term) values (1002, 'Müller & Söhne GmbH', 'NET90');
insert into suppliers (id, name, term) values (1003, 'Gamma Ltd', 'NET120');
insert into suppliers (id, name, term) values (1004, 'O''Neill Ltd', 'NET90');
