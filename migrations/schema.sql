-- The whole Shippyar schema at head. Made from the revisions, never by hand:
-- shippyard migration schema

CREATE FUNCTION public.account_of(address text) RETURNS uuid
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    SET search_path TO ''
    SET row_security TO 'off'
    AS $$
    SELECT id FROM public.users WHERE lower(email_v2) = lower(address) AND status <> 'closed'
$$;

CREATE TABLE public.addresses (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    city_id uuid NOT NULL,
    label text NOT NULL,
    line1 text NOT NULL,
    line2 text,
    postal_code text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.addresses FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.addresses IS 'Doors where things are picked up or delivered';

COMMENT ON COLUMN public.addresses.user_id IS 'Whose door it is';

COMMENT ON COLUMN public.addresses.city_id IS 'Where it is';

COMMENT ON COLUMN public.addresses.label IS 'What its owner calls it: home, warehouse 2';

COMMENT ON COLUMN public.addresses.line1 IS 'Street and number';

COMMENT ON COLUMN public.addresses.line2 IS 'Floor, gate, care of';

COMMENT ON COLUMN public.addresses.postal_code IS 'As the country writes it; null where there are none';

COMMENT ON COLUMN public.addresses.created_at IS 'When it was entered';

CREATE TABLE public.bookings (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    quote_id uuid NOT NULL,
    shipment_id uuid NOT NULL,
    status text DEFAULT 'confirmed'::text NOT NULL,
    booked_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_bookings_status CHECK ((status = ANY (ARRAY['confirmed'::text, 'completed'::text, 'cancelled'::text])))
);

COMMENT ON TABLE public.bookings IS 'Quotes that were accepted';

COMMENT ON COLUMN public.bookings.quote_id IS 'What was accepted';

COMMENT ON COLUMN public.bookings.shipment_id IS 'The quote''s; here for uq_bookings_live';

COMMENT ON COLUMN public.bookings.status IS 'confirmed, then completed or cancelled';

COMMENT ON COLUMN public.bookings.booked_at IS 'When the quote was accepted';

CREATE TABLE public.carriers (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    country_code character(2) NOT NULL,
    name text NOT NULL,
    contact_email text NOT NULL,
    status text DEFAULT 'applied'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_carriers_status CHECK ((status = ANY (ARRAY['applied'::text, 'approved'::text, 'suspended'::text])))
);

COMMENT ON TABLE public.carriers IS 'Companies that carry things and quote for it';

COMMENT ON COLUMN public.carriers.country_code IS 'Where it is registered';

COMMENT ON COLUMN public.carriers.name IS 'As people know it';

COMMENT ON COLUMN public.carriers.contact_email IS 'Where we write to';

COMMENT ON COLUMN public.carriers.status IS 'applied until we looked; then approved or suspended';

COMMENT ON COLUMN public.carriers.created_at IS 'When it applied';

COMMENT ON COLUMN public.carriers.updated_at IS 'Set by the application with every change';

CREATE TABLE public.cities (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    country_code character(2) NOT NULL,
    region text DEFAULT ''::text NOT NULL,
    name text NOT NULL,
    latitude numeric(7,4) NOT NULL,
    longitude numeric(7,4) NOT NULL,
    timezone text NOT NULL,
    CONSTRAINT ck_cities_latitude CHECK (((latitude >= ('-90'::integer)::numeric) AND (latitude <= (90)::numeric))),
    CONSTRAINT ck_cities_longitude CHECK (((longitude >= ('-180'::integer)::numeric) AND (longitude <= (180)::numeric)))
);

COMMENT ON TABLE public.cities IS 'Places between which things are sent; reference data';

COMMENT ON COLUMN public.cities.country_code IS 'The country it is in';

COMMENT ON COLUMN public.cities.region IS 'State or province where a name is not enough, else ''''';

COMMENT ON COLUMN public.cities.name IS 'As English has it, with its accents';

COMMENT ON COLUMN public.cities.latitude IS 'Degrees north, WGS 84';

COMMENT ON COLUMN public.cities.longitude IS 'Degrees east, WGS 84';

COMMENT ON COLUMN public.cities.timezone IS 'IANA time zone name';

CREATE TABLE public.companies (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    country_code character(2) NOT NULL,
    registration_number text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    vat_number text
);

COMMENT ON TABLE public.companies IS 'Companies whose people send things';

COMMENT ON COLUMN public.companies.country_code IS 'Where it is registered';

COMMENT ON COLUMN public.companies.registration_number IS 'As its country''s register has it';

COMMENT ON COLUMN public.companies.name IS 'As its register has it';

COMMENT ON COLUMN public.companies.created_at IS 'When it was entered';

COMMENT ON COLUMN public.companies.vat_number IS 'With its country''s letters, as invoices show it';

CREATE TABLE public.countries (
    code character(2) NOT NULL,
    alpha3 character(3) NOT NULL,
    numeric_code character(3) NOT NULL,
    name text NOT NULL,
    CONSTRAINT ck_countries_alpha3 CHECK ((alpha3 ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ck_countries_code CHECK ((code ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT ck_countries_numeric_code CHECK ((numeric_code ~ '^[0-9]{3}$'::text))
);

COMMENT ON TABLE public.countries IS 'Countries, territories and areas of ISO 3166-1; reference data';

COMMENT ON COLUMN public.countries.code IS 'ISO 3166-1 alpha-2';

COMMENT ON COLUMN public.countries.alpha3 IS 'ISO 3166-1 alpha-3';

COMMENT ON COLUMN public.countries.numeric_code IS 'ISO 3166-1 numeric';

COMMENT ON COLUMN public.countries.name IS 'Short name in English';

CREATE TABLE public.payments (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    booking_id uuid NOT NULL,
    amount numeric(12,2) NOT NULL,
    currency character(3) NOT NULL,
    method text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    provider_reference text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    captured_at timestamp with time zone,
    CONSTRAINT ck_payments_amount CHECK ((amount > (0)::numeric)),
    CONSTRAINT ck_payments_captured_at CHECK (((status <> 'captured'::text) OR (captured_at IS NOT NULL))),
    CONSTRAINT ck_payments_currency CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ck_payments_method CHECK ((method = ANY (ARRAY['card'::text, 'transfer'::text, 'invoice'::text]))),
    CONSTRAINT ck_payments_status CHECK ((status = ANY (ARRAY['pending'::text, 'captured'::text, 'failed'::text, 'refunded'::text])))
);

COMMENT ON TABLE public.payments IS 'Money that moved, or should have, for a booking';

COMMENT ON COLUMN public.payments.booking_id IS 'What is paid for';

COMMENT ON COLUMN public.payments.amount IS 'In the currency beside it';

COMMENT ON COLUMN public.payments.currency IS 'ISO 4217';

COMMENT ON COLUMN public.payments.method IS 'card, transfer or invoice';

COMMENT ON COLUMN public.payments.status IS 'pending until the provider says captured or failed; refunded after that';

COMMENT ON COLUMN public.payments.provider_reference IS 'The payment provider''s own id; makes a repeated notice harmless';

COMMENT ON COLUMN public.payments.created_at IS 'When we asked for it';

COMMENT ON COLUMN public.payments.captured_at IS 'When the provider had it; null before';

CREATE TABLE public.quotes (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    shipment_id uuid NOT NULL,
    carrier_id uuid NOT NULL,
    amount numeric(12,2) NOT NULL,
    currency character(3) NOT NULL,
    status text DEFAULT 'offered'::text NOT NULL,
    valid_until timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_quotes_amount CHECK ((amount > (0)::numeric)),
    CONSTRAINT ck_quotes_currency CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ck_quotes_status CHECK ((status = ANY (ARRAY['offered'::text, 'accepted'::text, 'declined'::text, 'withdrawn'::text, 'expired'::text])))
);

COMMENT ON TABLE public.quotes IS 'What carriers ask for carrying a shipment';

COMMENT ON COLUMN public.quotes.shipment_id IS 'What would be carried';

COMMENT ON COLUMN public.quotes.carrier_id IS 'Who would carry it';

COMMENT ON COLUMN public.quotes.amount IS 'For all of it, in the currency beside it';

COMMENT ON COLUMN public.quotes.currency IS 'ISO 4217';

COMMENT ON COLUMN public.quotes.status IS 'offered, then accepted, declined, withdrawn or expired';

COMMENT ON COLUMN public.quotes.valid_until IS 'Not to be accepted after this';

COMMENT ON COLUMN public.quotes.created_at IS 'When it was offered';

CREATE TABLE public.reviews (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    booking_id uuid NOT NULL,
    author_id uuid NOT NULL,
    rating smallint NOT NULL,
    comment text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_reviews_rating CHECK (((rating >= 1) AND (rating <= 5)))
);

COMMENT ON TABLE public.reviews IS 'What a sender says of a carrier, once for each booking';

COMMENT ON COLUMN public.reviews.booking_id IS 'What is reviewed';

COMMENT ON COLUMN public.reviews.author_id IS 'Who wrote it';

COMMENT ON COLUMN public.reviews.rating IS '1 to 5, 5 is best';

COMMENT ON COLUMN public.reviews.comment IS 'In the author''s words; null for stars alone';

COMMENT ON COLUMN public.reviews.created_at IS 'When it was written';

CREATE TABLE public.shipment_events (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    shipment_id uuid NOT NULL,
    kind text NOT NULL,
    city_id uuid,
    note text,
    happened_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_shipment_events_kind CHECK ((kind = ANY (ARRAY['created'::text, 'opened'::text, 'booked'::text, 'picked_up'::text, 'arrived'::text, 'departed'::text, 'delivered'::text, 'cancelled'::text])))
);

COMMENT ON TABLE public.shipment_events IS 'What happened to a shipment; rows are added, never changed';

COMMENT ON COLUMN public.shipment_events.shipment_id IS 'What it happened to';

COMMENT ON COLUMN public.shipment_events.kind IS 'One for each change of the shipment''s status, and stops on the way';

COMMENT ON COLUMN public.shipment_events.city_id IS 'Where; null when nobody said';

COMMENT ON COLUMN public.shipment_events.note IS 'What the carrier adds';

COMMENT ON COLUMN public.shipment_events.happened_at IS 'In the world, as the carrier says';

COMMENT ON COLUMN public.shipment_events.recorded_at IS 'When we heard of it';

CREATE TABLE public.shipment_items (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    shipment_id uuid NOT NULL,
    description text NOT NULL,
    quantity integer NOT NULL,
    weight_kg numeric(10,3) NOT NULL,
    length_cm integer,
    width_cm integer,
    height_cm integer,
    is_fragile boolean DEFAULT false NOT NULL,
    CONSTRAINT ck_shipment_items_quantity CHECK ((quantity > 0)),
    CONSTRAINT ck_shipment_items_size CHECK (((length_cm > 0) AND (width_cm > 0) AND (height_cm > 0))),
    CONSTRAINT ck_shipment_items_weight_kg CHECK ((weight_kg > (0)::numeric))
);

COMMENT ON TABLE public.shipment_items IS 'Pieces of a shipment, one row for each kind';

COMMENT ON COLUMN public.shipment_items.shipment_id IS 'What it is a part of';

COMMENT ON COLUMN public.shipment_items.description IS 'As the sender calls it';

COMMENT ON COLUMN public.shipment_items.quantity IS 'Pieces of this kind';

COMMENT ON COLUMN public.shipment_items.weight_kg IS 'Of one piece';

COMMENT ON COLUMN public.shipment_items.length_cm IS 'Of one piece; null when not measured';

COMMENT ON COLUMN public.shipment_items.width_cm IS 'Of one piece; null when not measured';

COMMENT ON COLUMN public.shipment_items.height_cm IS 'Of one piece; null when not measured';

COMMENT ON COLUMN public.shipment_items.is_fragile IS 'Wants to be handled with care';

CREATE TABLE public.shipments (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    reference text NOT NULL,
    sender_id uuid NOT NULL,
    origin_address_id uuid NOT NULL,
    destination_address_id uuid NOT NULL,
    status text DEFAULT 'draft'::text NOT NULL,
    pickup_after timestamp with time zone NOT NULL,
    deliver_before timestamp with time zone NOT NULL,
    declared_value numeric(12,2) NOT NULL,
    currency character(3) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_shipments_currency CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ck_shipments_declared_value CHECK ((declared_value >= (0)::numeric)),
    CONSTRAINT ck_shipments_status CHECK ((status = ANY (ARRAY['draft'::text, 'open'::text, 'booked'::text, 'in_transit'::text, 'delivered'::text, 'cancelled'::text]))),
    CONSTRAINT ck_shipments_times CHECK ((pickup_after < deliver_before))
);

ALTER TABLE ONLY public.shipments FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.shipments IS 'What someone wants carried from one door to another';

COMMENT ON COLUMN public.shipments.reference IS 'What people say on the phone';

COMMENT ON COLUMN public.shipments.sender_id IS 'Who sends it';

COMMENT ON COLUMN public.shipments.origin_address_id IS 'Where it is picked up';

COMMENT ON COLUMN public.shipments.destination_address_id IS 'Where it is delivered';

COMMENT ON COLUMN public.shipments.status IS 'Where it stands now; how it came there is in its events';

COMMENT ON COLUMN public.shipments.pickup_after IS 'Not to be picked up before this';

COMMENT ON COLUMN public.shipments.deliver_before IS 'To be delivered before this';

COMMENT ON COLUMN public.shipments.declared_value IS 'What the goods are insured for';

COMMENT ON COLUMN public.shipments.currency IS 'ISO 4217';

COMMENT ON COLUMN public.shipments.created_at IS 'When it was drafted';

COMMENT ON COLUMN public.shipments.updated_at IS 'Set by the application with every change';

CREATE TABLE public.user_preferences (
    user_id uuid NOT NULL,
    language text DEFAULT 'en'::text NOT NULL,
    currency character(3) DEFAULT 'EUR'::bpchar NOT NULL,
    units text DEFAULT 'metric'::text NOT NULL,
    notify_by_email boolean DEFAULT true NOT NULL,
    notify_by_sms boolean DEFAULT false NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_user_preferences_currency CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ck_user_preferences_units CHECK ((units = ANY (ARRAY['metric'::text, 'imperial'::text])))
);

ALTER TABLE ONLY public.user_preferences FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.user_preferences IS 'How a person wants to be shown and told things; no row means the defaults';

COMMENT ON COLUMN public.user_preferences.user_id IS 'Whose they are';

COMMENT ON COLUMN public.user_preferences.language IS 'BCP 47 language tag';

COMMENT ON COLUMN public.user_preferences.currency IS 'ISO 4217; prices are shown in it';

COMMENT ON COLUMN public.user_preferences.units IS 'metric or imperial';

COMMENT ON COLUMN public.user_preferences.notify_by_email IS 'Writes when a shipment moves';

COMMENT ON COLUMN public.user_preferences.notify_by_sms IS 'The same, to the phone';

COMMENT ON COLUMN public.user_preferences.updated_at IS 'Set by the application with every change';

CREATE TABLE public.users (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    company_id uuid,
    full_name text NOT NULL,
    phone text,
    status text DEFAULT 'invited'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    subscription_tier text DEFAULT 'basic'::text NOT NULL,
    email_v2 text NOT NULL,
    country_code character(2),
    CONSTRAINT ck_users_email_v2 CHECK (((POSITION(('@'::text) IN (email_v2)) > 1) AND (char_length(email_v2) <= 320))),
    CONSTRAINT ck_users_status CHECK ((status = ANY (ARRAY['invited'::text, 'active'::text, 'suspended'::text, 'closed'::text]))),
    CONSTRAINT ck_users_subscription_tier CHECK ((subscription_tier = ANY (ARRAY['basic'::text, 'plus'::text, 'business'::text])))
);

ALTER TABLE ONLY public.users FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.users IS 'People with an account; company_id is null for a private person';

COMMENT ON COLUMN public.users.company_id IS 'Whom the person sends for; null for a private person';

COMMENT ON COLUMN public.users.full_name IS 'As the person writes it';

COMMENT ON COLUMN public.users.phone IS 'E.164, with the plus sign';

COMMENT ON COLUMN public.users.status IS 'invited until the first sign-in, then active; suspended by us, or closed';

COMMENT ON COLUMN public.users.created_at IS 'When the account was made';

COMMENT ON COLUMN public.users.updated_at IS 'Set by the application with every change';

COMMENT ON COLUMN public.users.subscription_tier IS 'What the person pays for: basic, plus or business';

COMMENT ON COLUMN public.users.email_v2 IS 'Where the person is written to, 320 characters at most; signs in with it';

COMMENT ON COLUMN public.users.country_code IS 'Where the person pays taxes';

ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT pk_addresses PRIMARY KEY (id);

ALTER TABLE ONLY public.bookings
    ADD CONSTRAINT pk_bookings PRIMARY KEY (id);

ALTER TABLE ONLY public.carriers
    ADD CONSTRAINT pk_carriers PRIMARY KEY (id);

ALTER TABLE ONLY public.cities
    ADD CONSTRAINT pk_cities PRIMARY KEY (id);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT pk_companies PRIMARY KEY (id);

ALTER TABLE ONLY public.countries
    ADD CONSTRAINT pk_countries PRIMARY KEY (code);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT pk_payments PRIMARY KEY (id);

ALTER TABLE ONLY public.quotes
    ADD CONSTRAINT pk_quotes PRIMARY KEY (id);

ALTER TABLE ONLY public.reviews
    ADD CONSTRAINT pk_reviews PRIMARY KEY (id);

ALTER TABLE ONLY public.shipment_events
    ADD CONSTRAINT pk_shipment_events PRIMARY KEY (id);

ALTER TABLE ONLY public.shipment_items
    ADD CONSTRAINT pk_shipment_items PRIMARY KEY (id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT pk_shipments PRIMARY KEY (id);

ALTER TABLE ONLY public.user_preferences
    ADD CONSTRAINT pk_user_preferences PRIMARY KEY (user_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);

ALTER TABLE ONLY public.bookings
    ADD CONSTRAINT uq_bookings_quote_id_shipment_id UNIQUE (quote_id, shipment_id);

ALTER TABLE ONLY public.carriers
    ADD CONSTRAINT uq_carriers_name UNIQUE (name);

ALTER TABLE ONLY public.cities
    ADD CONSTRAINT uq_cities_country_code_region_name UNIQUE (country_code, region, name);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT uq_companies_country_code_registration_number UNIQUE (country_code, registration_number);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT uq_companies_vat_number UNIQUE (vat_number);

ALTER TABLE ONLY public.countries
    ADD CONSTRAINT uq_countries_alpha3 UNIQUE (alpha3);

ALTER TABLE ONLY public.countries
    ADD CONSTRAINT uq_countries_name UNIQUE (name);

ALTER TABLE ONLY public.countries
    ADD CONSTRAINT uq_countries_numeric_code UNIQUE (numeric_code);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT uq_payments_provider_reference UNIQUE (provider_reference);

ALTER TABLE ONLY public.quotes
    ADD CONSTRAINT uq_quotes_id_shipment_id UNIQUE (id, shipment_id);

ALTER TABLE ONLY public.reviews
    ADD CONSTRAINT uq_reviews_booking_id UNIQUE (booking_id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT uq_shipments_reference UNIQUE (reference);

CREATE INDEX ix_addresses_city_id ON public.addresses USING btree (city_id);

CREATE INDEX ix_addresses_user_id ON public.addresses USING btree (user_id);

CREATE INDEX ix_carriers_country_code ON public.carriers USING btree (country_code);

CREATE INDEX ix_payments_booking_id ON public.payments USING btree (booking_id);

CREATE INDEX ix_payments_pending ON public.payments USING btree (created_at) WHERE (status = 'pending'::text);

CREATE INDEX ix_quotes_carrier_id ON public.quotes USING btree (carrier_id);

CREATE INDEX ix_quotes_shipment_id_amount ON public.quotes USING btree (shipment_id, amount) INCLUDE (currency, carrier_id, status);

CREATE INDEX ix_reviews_author_id ON public.reviews USING btree (author_id);

CREATE INDEX ix_shipment_events_city_id ON public.shipment_events USING btree (city_id);

CREATE INDEX ix_shipment_events_shipment_id_happened_at ON public.shipment_events USING btree (shipment_id, happened_at);

CREATE INDEX ix_shipment_items_shipment_id ON public.shipment_items USING btree (shipment_id);

CREATE INDEX ix_shipments_destination_address_id ON public.shipments USING btree (destination_address_id);

CREATE INDEX ix_shipments_open ON public.shipments USING btree (created_at DESC) WHERE (status = 'open'::text);

CREATE INDEX ix_shipments_origin_address_id ON public.shipments USING btree (origin_address_id);

CREATE INDEX ix_shipments_sender_id_created_at ON public.shipments USING btree (sender_id, created_at DESC);

CREATE INDEX ix_users_company_id ON public.users USING btree (company_id);

CREATE INDEX ix_users_country_code ON public.users USING btree (country_code);

CREATE UNIQUE INDEX uq_bookings_live ON public.bookings USING btree (shipment_id) WHERE (status <> 'cancelled'::text);

CREATE UNIQUE INDEX uq_quotes_standing ON public.quotes USING btree (shipment_id, carrier_id) WHERE (status = 'offered'::text);

CREATE UNIQUE INDEX uq_users_lower_email_v2 ON public.users USING btree (lower(email_v2));

ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT fk_addresses_city_id FOREIGN KEY (city_id) REFERENCES public.cities(id);

ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT fk_addresses_user_id FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.bookings
    ADD CONSTRAINT fk_bookings_quote_id_shipment_id FOREIGN KEY (quote_id, shipment_id) REFERENCES public.quotes(id, shipment_id);

ALTER TABLE ONLY public.carriers
    ADD CONSTRAINT fk_carriers_country_code FOREIGN KEY (country_code) REFERENCES public.countries(code);

ALTER TABLE ONLY public.cities
    ADD CONSTRAINT fk_cities_country_code FOREIGN KEY (country_code) REFERENCES public.countries(code);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT fk_companies_country_code FOREIGN KEY (country_code) REFERENCES public.countries(code);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT fk_payments_booking_id FOREIGN KEY (booking_id) REFERENCES public.bookings(id);

ALTER TABLE ONLY public.quotes
    ADD CONSTRAINT fk_quotes_carrier_id FOREIGN KEY (carrier_id) REFERENCES public.carriers(id);

ALTER TABLE ONLY public.quotes
    ADD CONSTRAINT fk_quotes_shipment_id FOREIGN KEY (shipment_id) REFERENCES public.shipments(id);

ALTER TABLE ONLY public.reviews
    ADD CONSTRAINT fk_reviews_author_id FOREIGN KEY (author_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.reviews
    ADD CONSTRAINT fk_reviews_booking_id FOREIGN KEY (booking_id) REFERENCES public.bookings(id);

ALTER TABLE ONLY public.shipment_events
    ADD CONSTRAINT fk_shipment_events_city_id FOREIGN KEY (city_id) REFERENCES public.cities(id);

ALTER TABLE ONLY public.shipment_events
    ADD CONSTRAINT fk_shipment_events_shipment_id FOREIGN KEY (shipment_id) REFERENCES public.shipments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.shipment_items
    ADD CONSTRAINT fk_shipment_items_shipment_id FOREIGN KEY (shipment_id) REFERENCES public.shipments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT fk_shipments_destination_address_id FOREIGN KEY (destination_address_id) REFERENCES public.addresses(id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT fk_shipments_origin_address_id FOREIGN KEY (origin_address_id) REFERENCES public.addresses(id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT fk_shipments_sender_id FOREIGN KEY (sender_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.user_preferences
    ADD CONSTRAINT fk_user_preferences_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.users
    ADD CONSTRAINT fk_users_company_id FOREIGN KEY (company_id) REFERENCES public.companies(id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT fk_users_country_code FOREIGN KEY (country_code) REFERENCES public.countries(code);

ALTER TABLE public.addresses ENABLE ROW LEVEL SECURITY;

CREATE POLICY all_rows ON public.addresses TO shippyar_admin USING (true);

CREATE POLICY all_rows ON public.shipments TO shippyar_admin USING (true);

CREATE POLICY all_rows ON public.user_preferences TO shippyar_admin USING (true);

CREATE POLICY all_rows ON public.users TO shippyar_admin USING (true);

CREATE POLICY board ON public.shipments FOR SELECT TO shippyar_app USING ((status = 'open'::text));

CREATE POLICY own_rows ON public.addresses TO shippyar_app USING ((user_id = (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid));

CREATE POLICY own_rows ON public.shipments TO shippyar_app USING ((sender_id = (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid));

CREATE POLICY own_rows ON public.user_preferences TO shippyar_app USING ((user_id = (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid));

CREATE POLICY own_rows ON public.users TO shippyar_app USING ((id = (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid));

CREATE POLICY read_all ON public.addresses FOR SELECT TO analytics_ro USING (true);

CREATE POLICY read_all ON public.shipments FOR SELECT TO analytics_ro USING (true);

CREATE POLICY read_all ON public.user_preferences FOR SELECT TO analytics_ro USING (true);

CREATE POLICY read_all ON public.users FOR SELECT TO analytics_ro USING (true);

ALTER TABLE public.shipments ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.user_preferences ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
