//! Answers about ACLs.

use std::collections::HashMap;

use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

use super::{Answer, Answered, BATCH_ANSWER_BYTES_MAX, ErrorCode, Kind, LISTING_BYTES_MAX, Malformed, Reader, Right};
use crate::names::{AclRule, Interner, Operation, PatternType, Permission, Principal, ResourceType};

/// Most ACLs in one answer: four times the 500,000 we hold ourselves to, and 120 MB of memory.
const ACLS_MAX: usize = 2_000_000;

/// ACLs as a cluster has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclListing {
    /// Every ACL that we understand, in the order of the answer; equal names share their memory.
    pub rules: Vec<(Principal, AclRule)>,
    /// How many more there are, of a resource type, pattern type or operation newer than this program.
    pub unknown: usize,
}

/// The right that changing ACLs takes.
const ALTER: Right = Right { operation: Operation::Alter, needed_for: "changing ACLs" };

/// Builds a listing with shared names.
#[derive(Default)]
struct Collector {
    listing: AclListing,
    texts: Interner,
    principals: HashMap<Box<str>, Principal>,
}

/// One ACL as it is on the wire.
struct WireAcl<'a> {
    resource_type: i8,
    resource_name: &'a str,
    pattern_type: i8,
    principal: &'a str,
    host: &'a str,
    operation: i8,
    permission: i8,
}

impl Collector {
    fn add(&mut self, acl: &WireAcl<'_>) -> Result<(), Malformed> {
        if self.listing.rules.len() >= ACLS_MAX {
            return Err(Malformed("an answer with more than two million ACLs"));
        }
        match self.understand(acl) {
            Some(entry) => self.listing.rules.push(entry),
            None => self.listing.unknown += 1,
        }
        Ok(())
    }

    fn understand(&mut self, acl: &WireAcl<'_>) -> Option<(Principal, AclRule)> {
        let resource_type = ResourceType::from_code(acl.resource_type)?;
        let pattern_type = PatternType::from_code(acl.pattern_type)?;
        let operation = Operation::from_code(acl.operation)?;
        let permission = Permission::from_code(acl.permission)?;
        let principal = self.principal(acl.principal)?;
        let (resource_name, host) = (self.texts.intern(acl.resource_name), self.texts.intern(acl.host));
        Some((principal, AclRule { permission, resource_type, pattern_type, resource_name, operation, host }))
    }

    fn principal(&mut self, text: &str) -> Option<Principal> {
        if let Some(known) = self.principals.get(text) {
            return Some(known.clone());
        }
        let principal = Principal::parse(text).ok()?;
        self.principals.insert(text.into(), principal.clone());
        Some(principal)
    }
}

/// DescribeAcls.
#[derive(Debug)]
pub(crate) struct ListedAcls(pub(crate) AclListing);

impl Answer for ListedAcls {
    type Request = DescribeAclsRequest;
    const VERSION: i16 = 3;
    const NAME: &'static str = "DescribeAcls";
    const BYTES_MAX: usize = LISTING_BYTES_MAX;
    const RIGHT: Option<Right> = Some(Right { operation: Operation::Describe, needed_for: "reading ACLs" });

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let code = reader.code()?;
        reader.nullable_text()?;
        let mut collector = Collector::default();
        reader.each(|reader| {
            let (resource_type, resource_name, pattern_type) = (reader.i8()?, reader.text()?, reader.i8()?);
            reader.each(|reader| {
                let (principal, host) = (reader.text()?, reader.text()?);
                let (operation, permission) = (reader.i8()?, reader.i8()?);
                reader.tagged_fields()?;
                collector.add(&WireAcl {
                    resource_type,
                    resource_name,
                    pattern_type,
                    principal,
                    host,
                    operation,
                    permission,
                })
            })?;
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, code, Self(collector.listing)))
    }
}

/// CreateAcls.
#[derive(Debug)]
pub(crate) struct CreatedAcls(
    /// One code per creation, in the order of the request.
    pub(crate) Vec<ErrorCode>,
);

impl Answer for CreatedAcls {
    type Request = CreateAclsRequest;
    const KIND: Kind = Kind::Write;
    const VERSION: i16 = 3;
    const NAME: &'static str = "CreateAcls";
    const BYTES_MAX: usize = BATCH_ANSWER_BYTES_MAX;
    const RIGHT: Option<Right> = Some(ALTER);

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let mut codes = Vec::new();
        reader.each(|reader| {
            codes.push(reader.code()?);
            reader.nullable_text()?;
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, ErrorCode::NONE, Self(codes)))
    }
}

/// DeleteAcls.
#[derive(Debug)]
pub(crate) struct RemovedAcls(
    /// Per filter, in the order of the request: what went, or why not all of it.
    pub(crate) Vec<Result<AclListing, ErrorCode>>,
);

impl Answer for RemovedAcls {
    type Request = DeleteAclsRequest;
    const KIND: Kind = Kind::Write;
    const VERSION: i16 = 3;
    const NAME: &'static str = "DeleteAcls";
    const BYTES_MAX: usize = BATCH_ANSWER_BYTES_MAX;
    const RIGHT: Option<Right> = Some(ALTER);

    fn decode(reader: &mut Reader<'_>) -> Result<Answered<Self>, Malformed> {
        let throttle = reader.i32()?;
        let mut filters = Vec::new();
        reader.each(|reader| {
            let mut code = reader.code()?;
            reader.nullable_text()?;
            let mut collector = Collector::default();
            reader.each(|reader| {
                let acl_code = reader.code()?;
                reader.nullable_text()?;
                let (resource_type, resource_name, pattern_type) = (reader.i8()?, reader.text()?, reader.i8()?);
                let (principal, host) = (reader.text()?, reader.text()?);
                let (operation, permission) = (reader.i8()?, reader.i8()?);
                reader.tagged_fields()?;
                if !acl_code.is_success() {
                    code = acl_code;
                    return Ok(());
                }
                collector.add(&WireAcl {
                    resource_type,
                    resource_name,
                    pattern_type,
                    principal,
                    host,
                    operation,
                    permission,
                })
            })?;
            filters.push(if code.is_success() { Ok(collector.listing) } else { Err(code) });
            reader.tagged_fields()
        })?;
        reader.tagged_fields()?;
        Ok(Answered::new(throttle, ErrorCode::NONE, Self(filters)))
    }
}
